# shellcheck shell=bash
# Nodes of celery_workers.sh as processes: pid files, how they are started and stopped, one script at a time. Sourced by
# it, not run. For bash 3.2 (macOS): no associative arrays, no mapfile, and an empty array counts as unset.

quit_seconds=10
lines_shown=15

# When a process started: what tells it from a later one with its number. Empty when it is gone, or a zombie.
started() {
    local stat state
    local -a fields
    if [ -r /proc/self/stat ]; then
        { stat="$(<"/proc/$1/stat")"; } 2>/dev/null || return 0
        # The name stands before in brackets and may hold anything.
        read -r -a fields <<<"${stat##*) }"
        case "${fields[0]:-X}" in Z | X) return 0 ;; esac
        printf '%s\n' "${fields[19]}"
    else
        state="$(ps -p "$1" -o state= 2>/dev/null)" || return 0
        case "$state" in Z*) return 0 ;; esac
        ps -p "$1" -o lstart= 2>/dev/null | tr -d ' ' || true
    fi
}

pid_file() { printf '%s/celery_%s.pid\n' "$logs_dir" "$1"; }
log_file() { printf '%s/celery_%s.log\n' "$logs_dir" "$(pool_of "$1")"; }

# A pool's nodes are email and, beside it during a restart, email-2 (contract/pointsman_contract/nodes.py); no pool's own name ends
# in a hyphen and a number.
pool_of() { if [[ $1 =~ ^(.+)-[0-9]+$ ]]; then printf '%s\n' "${BASH_REMATCH[1]}"; else printf '%s\n' "$1"; fi; }

# Sets pid, and state: alive, gone (a pid file whose process is not there or is another one by now) or none.
look() {
    local file token=""
    file="$(pid_file "$1")"
    pid="-" state="none"
    [ -f "$file" ] || return 0
    state="gone"
    { read -r pid && read -r token; } <"$file" || true
    case "$pid" in '' | *[!0-9]*) pid="-"; return 0 ;; esac
    if [ -n "$token" ] && [ "$(started "$pid")" = "$token" ]; then state="alive"; fi
}

# Pools that have a pid file.
pools_with_pids() {
    local file name
    for file in "$logs_dir"/celery_*.pid; do
        [ -f "$file" ] || continue
        name="${file##*/celery_}"
        pool_of "${name%.pid}"
    done
}

note() { printf -- '--- %s celery_workers.sh: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$2" >>"$(log_file "$1")"; }

# A session of its own: the end of this terminal does not reach it, and it can be ended as one group. macOS has no
# setsid command. Bash makes its background processes ignore SIGINT and SIGQUIT; Celery must get them.
# shellcheck disable=SC2016 # Python's, not the shell's
detach='
import os, signal, sys
os.setsid()
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
'

# launch NODE WORD...: start a daemon. Sets pid.
launch() {
    local name="$1" file log
    shift
    file="$(pid_file "$name")" log="$(log_file "$name")"
    (umask 077 && : >>"$log")
    note "$name" "starting $name"
    "$python" -I -S -c "$detach" "$python" "$@" </dev/null >>"$log" 2>&1 &
    pid=$!
    if ! { printf '%s\n%s\n' "$pid" "$(started "$pid")" >"$file.new" && mv -f "$file.new" "$file"; }; then
        # Nobody would ever find it again.
        kill -TERM "$pid"
        die "cannot write $file."
    fi
}

# Children outlive a killed parent where the kernel does not tell them (macOS). They are known by their group, which has
# the parent's number, and by their command line: that number may be somebody else's by now.
end_orphans() {
    local member group words
    [ "$2" != "-" ] || return 0
    while read -r member group words; do
        case "$group:$words" in "$2:"*" -n $1@"*) kill -KILL "$member" 2>/dev/null || true ;; esac
    done < <(ps -A -ww -o pid=,pgid=,command= 2>/dev/null || true)
}

# forget NODE PID: nothing of it is left, neither children nor pid file.
forget() {
    end_orphans "$1" "$2"
    rm -f "$(pid_file "$1")"
}

# alive_of NODE...: those that are alive.
alive_of() {
    local name
    for name in "$@"; do
        look "$name"
        [ "$state" != "alive" ] || printf '%s\n' "$name"
    done
}

# wait_ended SECONDS NODE...: whether all of them end in time.
wait_ended() {
    local deadline=$((SECONDS + $1))
    shift
    while [ -n "$(alive_of "$@")" ]; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}

# One script at a time: two that start or stop the same pools would undo each other.
lock() {
    local holder="" token="" aside just_begun="another celery_workers.sh has just begun: wait for it."
    if ! mkdir "$lock_dir" 2>/dev/null; then
        # The other may be between making the directory and writing its number into it.
        [ -s "$lock_dir/holder" ] || sleep 1
        { read -r holder token <"$lock_dir/holder"; } 2>/dev/null || true
        if [ -n "$holder" ] && [ "$(started "$holder")" = "$token" ]; then
            die "another celery_workers.sh is at work (process $holder): wait for it."
        fi
        # Its holder is gone. Of two that find this, one gets the directory aside; the other may get the first one's new.
        aside="$lock_dir.$$"
        mv "$lock_dir" "$aside" 2>/dev/null || die "$just_begun"
        if [ "$(cat "$aside/holder" 2>/dev/null || true)" != "${holder:+$holder $token}" ]; then
            mv "$aside" "$lock_dir" 2>/dev/null || rm -rf "$aside"
            die "$just_begun"
        fi
        rm -rf "$aside"
        mkdir "$lock_dir" 2>/dev/null || die "$just_begun"
    fi
    trap 'rm -rf "$lock_dir"' EXIT
    printf '%s %s\n' "$$" "$(started "$$")" >"$lock_dir/holder"
}

# words_of NODE: sets words, the command line of that node.
words_of() {
    local line
    local -a cells
    while IFS= read -r line; do
        case "$line" in
            *$'\t'"$1"@*)
                IFS=$'\t' read -r -a cells <<<"$line"
                words=("${cells[@]:5}")
                return 0
                ;;
        esac
    done <<<"$table"
    die "$(pool_of "$1") is not a configured pool any more: stop it."
}

show_log() {
    printf 'The last lines of %s:\n' "$(log_file "$1")"
    tail -n "$lines_shown" "$(log_file "$1")" | sed 's/^/    /'
}

# start_nodes NODE...: launch them together and wait for all; says what became of each, and sets ready to those that
# consume. 0 when all do.
start_nodes() {
    local name outcome failed=0 began=$SECONDS
    local -a words launched=()
    ready=()
    "$python" -m pointsman check "$@" || return 1
    for name in "$@"; do
        words_of "$name"
        launch "$name" "${words[@]}"
        printf '%s: starting (pid %s)\n' "$name" "$pid"
        launched+=("$name:alive:$pid")
    done
    while IFS=$'\t' read -r name outcome; do
        case "$outcome" in
            ready)
                ready+=("$name")
                printf '%s: running (after %s s)\n' "$name" "$((SECONDS - began))"
                ;;
            died)
                printf '%s: died at once. ' "$name"
                show_log "$name"
                look "$name"
                forget "$name" "$pid"
                ;;
            late)
                printf '%s: started, but does not consume after %s s. ' "$name" "$start_seconds"
                show_log "$name"
                ;;
            *) printf 'It is not known whether they consume: see ./scripts/celery_workers.sh status\n' ;;
        esac
        [ "$outcome" = "ready" ] || failed=1
    done < <("$python" -m pointsman wait --seconds "$start_seconds" "${launched[@]}" || [ $? -eq 1 ] || printf '?\tlost\n')
    return "$failed"
}

# ask_nodes NODE...: tell them to stop, and add those that live to stopping.
ask_nodes() {
    local name
    for name in "$@"; do
        look "$name"
        case "$state" in
            alive)
                note "$name" "stopping $name (pid $pid)"
                kill -TERM "$pid" 2>/dev/null || true
                printf '%s: stopping (pid %s)\n' "$name" "$pid"
                stopping+=("$name")
                ;;
            gone)
                printf '%s: its process had died (pid %s)\n' "$name" "$pid"
                forget "$name" "$pid"
                ;;
        esac
    done
}

# stop_nodes NODE...: ask, wait, insist. 0 when nothing is left of them.
stop_nodes() {
    stopping=()
    ask_nodes "$@"
    await_stopping
}

# Wait for the nodes in stopping, and insist. 0 when nothing is left of them.
await_stopping() {
    local name failed=0 status=0
    local -a asked=() nodes=()
    [ ${#stopping[@]} -gt 0 ] || return 0
    nodes=("${stopping[@]}")
    for name in "${nodes[@]}"; do
        look "$name"
        asked+=("$name:$state:$pid")
    done
    "$python" -m pointsman drain --seconds "$timeout" "${asked[@]}" || status=$?
    # A status above 1: the workers' settings cannot be read. They must end all the same.
    [ "$status" -le 1 ] || wait_ended "$timeout" "${nodes[@]}" || true
    for name in $(alive_of "${nodes[@]}"); do
        look "$name"
        note "$name" "insisting: SIGQUIT for $name (pid $pid)"
        printf '%s: not done after %s s, insisting: its tasks will run again\n' "$name" "$timeout"
        kill -QUIT "$pid" 2>/dev/null || true
    done
    wait_ended "$quit_seconds" "${nodes[@]}" || for name in $(alive_of "${nodes[@]}"); do
        look "$name"
        note "$name" "insisting: SIGKILL for $name (pid $pid)"
        printf '%s: killing it\n' "$name"
        kill -KILL -- "-$pid" 2>/dev/null || true
    done
    wait_ended "$quit_seconds" "${nodes[@]}" || true
    for name in "${nodes[@]}"; do
        look "$name"
        if [ "$state" = "alive" ]; then
            printf '%s: does not end (pid %s)\n' "$name" "$pid"
            failed=1
            continue
        fi
        forget "$name" "$pid"
        note "$name" "stopped $name"
        printf '%s: stopped\n' "$name"
    done
    return "$failed"
}
