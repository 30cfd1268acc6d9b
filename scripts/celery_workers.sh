#!/usr/bin/env bash
# The worker pools as daemons. See ./scripts/celery_workers.sh --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
Run the worker pools as daemons.

  ./scripts/celery_workers.sh start   [POOL...]  start what does not run, and wait until it consumes
  ./scripts/celery_workers.sh stop    [POOL...]  let running tasks finish, then insist
  ./scripts/celery_workers.sh restart [POOL...]  of each pool the new node first, then the old one is stopped
  ./scripts/celery_workers.sh status  [POOL...]  a table; says by its exit status whether something is down
  ./scripts/celery_workers.sh logs    [POOL...]  follow the logs
  ./scripts/celery_workers.sh monitor            what is wrong now, live in this terminal, with what the API knows

Without POOL: all of them. Pools, their queues and processes come from the configuration (POINTSMAN_TOPOLOGY, or the file
that POINTSMAN_CONFIG names). The broker is POINTSMAN_REDIS_URL, or that of a running ./scripts/up --pools none.

  --timeout SECONDS  stop, restart: how long running tasks may take (default $POINTSMAN_STOP_SECONDS, else 60). What
                     still runs then is ended, first by SIGQUIT, then by SIGKILL: its tasks run again, without having
                     spent an attempt.
                     A start, and each step of a restart, may take $POINTSMAN_START_SECONDS, else 30.
  --at-once POOLS    restart: how many pools start their new node at the same time (default 3). The old nodes end their
                     tasks meanwhile, all side by side.
  -n LINES           logs: how many lines to begin with (default 20)
  --once, --json, --url URL
                     monitor: one look, as JSON, at another API than POINTSMAN_URL or the one of a running
                     ./scripts/up. It is pointsman top, with its exit status: 0 healthy, 1 degraded, 2 unreachable

Each pool logs to logs/celery_POOL.log and has its pid in logs/celery_POOL.pid (POINTSMAN_LOGS_DIR: another directory).
While a pool restarts it has a second node, POOL-2; the next restart goes back to POOL.

States: running; starting; draining (told to stop, finishes its tasks); ejected (taken off its queues); stale (lives, but
does not beat: hangs or is cut off); down.
Exit status: 0 done, all is well; 1 something is down or failed; 2 wrong usage or configuration; 4 (status) the processes
live, but the broker is away, so nobody knows more.
TEXT
}

die() {
    printf 'celery_workers: %s\n' "$1" >&2
    exit "${2:-1}"
}

wrong() {
    printf 'celery_workers: %s\nSee ./scripts/celery_workers.sh --help\n' "$1" >&2
    exit 2
}

# Relative paths mean where this was called from.
from_caller() {
    case "$1" in /* | "~"*) printf '%s\n' "$1" ;; *) printf '%s/%s\n' "$invoked_from" "$1" ;; esac
}

invoked_from="$PWD"
cd "$(dirname "$0")/.."
python="$PWD/.venv/bin/python"
logs_dir="$(from_caller "${POINTSMAN_LOGS_DIR:-$PWD/logs}")"
lock_dir="$logs_dir/.celery_workers.lock"
# An assignment to a variable of the environment stays in it.
[ -z "${POINTSMAN_DATA_DIR:-}" ] || POINTSMAN_DATA_DIR="$(from_caller "$POINTSMAN_DATA_DIR")"
case "${POINTSMAN_CONFIG:-}" in
    *.toml | *.json | *.py) POINTSMAN_CONFIG="$(from_caller "$POINTSMAN_CONFIG")" ;;
esac
for name in "${!POINTSMAN_@}"; do
    case "$name" in *_FILE) [ -z "${!name}" ] || export "$name=$(from_caller "${!name}")" ;; esac
done
# Modules of tasks, and one of settings, may lie there too.
if [ "$invoked_from" != "$PWD" ] && [ -n "${POINTSMAN_TASK_MODULES:-}${POINTSMAN_CONFIG:-}" ]; then
    export PYTHONPATH="$invoked_from${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONUNBUFFERED=1
# shellcheck source=scripts/daemons.sh
. scripts/daemons.sh

# The configured pools: a line for each node they may have (python -m pointsman pools).
read_table() { table="$("$python" -m pointsman pools)"; }

has_line() { case $'\n'"$1"$'\n' in *$'\n'"$2"$'\n'*) return 0 ;; *) return 1 ;; esac; }

# Sets pools: those that were named, each checked, or all that are configured or have a pid file.
choose_pools() {
    local known name
    known="$({ printf '%s\n' "$table" | cut -f 1; pools_with_pids; } | awk 'NF && !seen[$0]++')"
    if [ $# -eq 0 ]; then
        # shellcheck disable=SC2206 # names of pools are words without anything special
        pools=($known)
        return 0
    fi
    for name in "$@"; do
        has_line "$known" "$name" ||
            wrong "there is no pool '$name'; the pools are $(printf '%s\n' "$known" | paste -s -d ' ' -)."
    done
    pools=("$@")
}

configured() { has_line "$(printf '%s\n' "$table" | cut -f 1)" "$1"; }

do_start() {
    local pool name running
    local -a wanted=()
    for pool in "${pools[@]}"; do
        running="$(alive_of "$pool" "$pool-2")"
        if [ -n "$running" ]; then
            look "${running%%$'\n'*}"
            printf '%s: already running (pid %s)\n' "$pool" "$pid"
            continue
        fi
        for name in "$pool" "$pool-2"; do
            look "$name"
            [ "$state" != "gone" ] || printf '%s: its process had died (pid %s)\n' "$name" "$pid"
            [ "$state" = "none" ] || forget "$name" "$pid"
        done
        if configured "$pool"; then wanted+=("$pool"); fi
    done
    [ ${#wanted[@]} -eq 0 ] || start_nodes "${wanted[@]}"
}

do_stop() {
    local pool name
    local -a nodes=()
    for pool in "${pools[@]}"; do
        for name in "$pool" "$pool-2"; do
            look "$name"
            [ "$state" = "none" ] || nodes+=("$name")
        done
        look "$pool"
        [ "$state" != "none" ] && continue
        look "$pool-2"
        [ "$state" != "none" ] || printf '%s: not running\n' "$pool"
    done
    [ ${#nodes[@]} -eq 0 ] || stop_nodes "${nodes[@]}"
}

# restart_together POOL...: their new nodes are started side by side, under the names that are free; the old node of each
# that came up is asked to stop. Nothing consumes less than before at any moment. 0 when all came up.
restart_together() {
    local pool old new failed=0 index
    local -a olds=() news=() fresh=()
    for pool in "$@"; do
        old="$(alive_of "$pool" "$pool-2")"
        case "$old" in
            "" | *-2) new="$pool" ;;
            *) new="$pool-2" ;;
        esac
        look "$new"
        [ "$state" = "none" ] || forget "$new" "$pid"
        olds+=("${old:-none}")
        news+=("$new")
    done
    start_nodes "${news[@]}" || failed=1
    fresh=(${ready[@]+"${ready[@]}"})
    for index in "${!news[@]}"; do
        old="${olds[$index]}" new="${news[$index]}"
        if has_line "$(printf '%s\n' ${fresh[@]+"${fresh[@]}"})" "$new"; then
            [ "$old" = "none" ] || ask_nodes "$old"
        elif [ "$old" != "none" ]; then
            printf '%s: %s goes on, the new node is given up\n' "$(pool_of "$new")" "$old"
            ask_nodes "$new"
        fi
    done
    return "$failed"
}

do_restart() {
    local pool failed=0
    local -a left=() part=()
    for pool in "${pools[@]}"; do
        # Left over by a restart that was cut short.
        [ "$(alive_of "$pool" "$pool-2" | wc -l)" -lt 2 ] || stop_nodes "$pool-2" || die "$pool-2 does not end."
    done
    stopping=()
    for pool in "${pools[@]}"; do
        if configured "$pool"; then
            left+=("$pool")
        else
            printf '%s: not configured any more, stopping it\n' "$pool"
            ask_nodes "$pool" "$pool-2"
        fi
    done
    while [ ${#left[@]} -gt 0 ] && [ "$failed" -eq 0 ]; do
        part=("${left[@]:0:$at_once}")
        left=("${left[@]:$at_once}")
        restart_together "${part[@]}" || failed=1
    done
    await_stopping || failed=1
    [ "$failed" -eq 0 ] || die "the restart ends here: not every pool could be restarted${left[*]:+; as they were go on: ${left[*]}}."
}

# One start of Python: it knows the pools, and checks their names.
do_status() {
    local pool name
    local -a nodes=() only=()
    for pool in $(pools_with_pids | sort -u); do
        for name in "$pool" "$pool-2"; do
            look "$name"
            [ "$state" = "none" ] || nodes+=("$name:$state:$pid")
        done
    done
    [ ${#named[@]} -eq 0 ] || only=(--only "${named[@]}" --)
    "$python" -m pointsman status --pids "$logs_dir" ${only[@]+"${only[@]}"} ${nodes[@]+"${nodes[@]}"}
}

do_monitor() {
    exec "$python" -m pointsman_client top ${given[@]+"${given[@]}"}
}

do_logs() {
    local pool
    local -a files=()
    for pool in "${pools[@]}"; do
        [ ! -f "$(log_file "$pool")" ] || files+=("$(log_file "$pool")")
    done
    [ ${#files[@]} -gt 0 ] || die "nothing has been logged yet in $logs_dir."
    exec tail -n "$lines" -F "${files[@]}"
}

main() {
    command="${1:-}"
    [ $# -eq 0 ] || shift
    case "$command" in
        start | stop | restart | status | logs | monitor) ;;
        -h | --help | help)
            usage
            exit 0
            ;;
        "")
            usage >&2
            exit 2
            ;;
        *) wrong "there is no command '$command'." ;;
    esac

    timeout="${POINTSMAN_STOP_SECONDS:-60}"
    start_seconds="${POINTSMAN_START_SECONDS:-30}"
    lines=20
    at_once=3
    named=()
    given=()
    while [ $# -gt 0 ]; do
        case "$command:$1" in
            *:-h | *:--help)
                usage
                exit 0
                ;;
            stop:--timeout | restart:--timeout | restart:--at-once | logs:-n)
                [ $# -gt 1 ] || wrong "$1 needs a number."
                case "$1" in -n) lines="$2" ;; --at-once) at_once="$2" ;; *) timeout="$2" ;; esac
                shift
                ;;
            monitor:--once | monitor:--json) given+=("$1") ;;
            monitor:--url)
                [ $# -gt 1 ] || wrong "$1 needs an address."
                given+=("$1" "$2")
                shift
                ;;
            monitor:*) wrong "$command takes no '$1'." ;;
            *:-*) wrong "$command has no option '$1'." ;;
            *) named+=("$1") ;;
        esac
        shift
    done
    case "$timeout" in
        '' | *[!0-9]*) wrong "a number of seconds is needed, not '$timeout' (--timeout, POINTSMAN_STOP_SECONDS)." ;;
    esac
    case "$start_seconds" in
        '' | *[!0-9]*) wrong "POINTSMAN_START_SECONDS must be a number of seconds, not '$start_seconds'." ;;
    esac
    case "$at_once" in '' | *[!0-9]* | 0) wrong "--at-once needs a number of pools, not '$at_once'." ;; esac
    case "$lines" in '' | *[!0-9]*) wrong "-n needs a number, not '$lines'." ;; esac

    case "$command" in start | restart) ./scripts/setup ;; esac
    [ -x "$python" ] || die "nothing is installed yet: ./scripts/celery_workers.sh start does that."
    [ "$command" != "monitor" ] || do_monitor
    mkdir -p "$logs_dir"
    if [ "$command" = "status" ]; then
        do_status
        return
    fi
    table=""
    # Whoever must stop or read logs must not be kept from it by a setting.
    case "$command" in
        stop | logs) read_table || true ;;
        *) read_table ;;
    esac
    choose_pools ${named[@]+"${named[@]}"}
    [ ${#pools[@]} -gt 0 ] || return 0
    case "$command" in
        start) lock && do_start ;;
        stop) lock && do_stop ;;
        restart) lock && do_restart ;;
        logs) do_logs ;;
    esac
}

# Read whole before it runs: a new version may be put in its place meanwhile.
main "$@"; exit
