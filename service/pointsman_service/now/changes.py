"""What was changed lately and by whom, in words. Pure."""

from collections.abc import Mapping, Sequence

from pointsman_service.now.picture import Change, Link, LinkKind, Part, Words
from pointsman_service.now.words import listed, number, one, words
from pointsman_service.operate.act import ActKind
from pointsman_service.store.first_page.beside import ChangeRow, VersionRow

_MOST = 10
WORKERS = "workers"
"""Who publishes task types."""
_NAMED: Mapping[ActKind, tuple[LinkKind, str]] = {
    ActKind.PAUSE: (LinkKind.QUEUE, " was paused"),
    ActKind.RESUME: (LinkKind.QUEUE, " was resumed"),
    ActKind.PURGE: (LinkKind.QUEUE, " was purged"),
    ActKind.EJECT: (LinkKind.WORKER, " was taken off its queues"),
    ActKind.ADMIT: (LinkKind.WORKER, " was let back"),
    ActKind.SET_POLICY: (LinkKind.BREAKER, " got a policy of its own"),
    ActKind.UNSET_POLICY: (LinkKind.BREAKER, " has the default policy again"),
    ActKind.FORCE_OPEN: (LinkKind.BREAKER, " was forced open"),
    ActKind.FORCE_CLOSED: (LinkKind.BREAKER, " was closed by hand"),
    ActKind.DISABLE: (LinkKind.BREAKER, " was disabled"),
    ActKind.PROBE: (LinkKind.BREAKER, " was tried before its time"),
    ActKind.RESET: (LinkKind.BREAKER, " is left to itself again"),
    ActKind.CANCEL: (LinkKind.TASK, " was cancelled"),
    ActKind.RETRY: (LinkKind.TASK, " was run again"),
    ActKind.CHANGE: (LinkKind.TASK, " was changed"),
    ActKind.SHARE: (LinkKind.TASK, " was shared by a link"),
}
"""Whose subject has a name that says something, and what became of it."""
_UNNAMED: Mapping[ActKind, tuple[str, LinkKind | None, str]] = {
    ActKind.CANCEL_MANY: ("Tasks", LinkKind.TASK_ACT, " were cancelled by a filter"),
    ActKind.RETRY_MANY: ("Tasks", LinkKind.TASK_ACT, " were run again by a filter"),
    ActKind.STOP_MANY: ("An act on many tasks", LinkKind.TASK_ACT, " was stopped"),
    ActKind.UNDO_MANY: ("An act on many tasks", LinkKind.TASK_ACT, " was undone"),
    ActKind.REPLAY: ("Dead letters", LinkKind.DEAD_LETTERS, " were run again"),
    ActKind.UNDO_REPLAY: ("A replay", None, " was undone"),
    ActKind.DISCARD: ("Messages that were set aside", LinkKind.SET_ASIDE, " were discarded"),
    ActKind.ACKNOWLEDGE: ("An alert", LinkKind.ALERT, " was acknowledged"),
    ActKind.UNACKNOWLEDGE: ("An alert", LinkKind.ALERT, " is known to nobody again"),
    ActKind.SILENCE: ("An alert", LinkKind.ALERT, " was silenced"),
    ActKind.UNSILENCE: ("An alert", LinkKind.ALERT, " is told again"),
    ActKind.TEST_CHANNEL: ("A channel of alerts", None, " was tried"),
    ActKind.RESOLVE_ERROR: ("An error", LinkKind.ERROR, " was resolved"),
    ActKind.IGNORE_ERROR: ("An error", LinkKind.ERROR, " is ignored"),
    ActKind.REOPEN_ERROR: ("An error", LinkKind.ERROR, " was reopened"),
    ActKind.CREATE_KEY: ("A key", None, " was made"),
    ActKind.LIMIT_KEY: ("A key", None, " got other limits"),
    ActKind.ROTATE_KEY: ("A key", None, " was rotated"),
    ActKind.REVOKE_KEY: ("A key", None, " was revoked"),
    ActKind.REPORT: ("A circuit breaker", LinkKind.BREAKER, " was told of calls"),
    ActKind.LEASE: ("A circuit breaker", LinkKind.BREAKER, " was asked for a permit"),
}
_MANY: Mapping[ActKind, str] = {
    ActKind.CANCEL_MANY: "{}",
    ActKind.RETRY_MANY: "{}",
    ActKind.STOP_MANY: "An act on {}",
    ActKind.UNDO_MANY: "An act on {}",
    ActKind.REPLAY: "{} that had failed",
}
_OF_SESSIONS: Mapping[str, str] = {
    "sign_in": "Somebody signed in to the dashboard",
    "sign_out": "Somebody signed out of the dashboard",
}
"""What is kept and is no act."""
_QUOTED = frozenset({LinkKind.ERROR, LinkKind.ALERT})
"""Whose words are those of an error."""
_LISTS = frozenset({LinkKind.DEAD_LETTERS, LinkKind.SET_ASIDE})
_KNOWN = frozenset(ActKind)


def changes(
    acts: Sequence[ChangeRow], versions: Sequence[VersionRow], *, reads_payloads: bool = True
) -> tuple[Change, ...]:
    """The newest first."""
    found = [
        Change(
            entry.at,
            entry.actor,
            what_of(entry.act, entry.subject, entry.about, reads_payloads=reads_payloads),
            entry.reason,
        )
        for entry in acts
    ]
    found += [Change(row.at, WORKERS, what, None) for row in versions if (what := _published(row))]
    return tuple(sorted(found, key=lambda change: change.at, reverse=True)[:_MOST])


def what_of(act: str, subject: str, about: str | None = None, *, reads_payloads: bool = True) -> Words:
    """What was done to what; ``about``: what is known of a subject that is an id. Without ``reads_payloads`` nothing of
    that where it may be the message of an error.
    """
    if act in _OF_SESSIONS:
        return words(_OF_SESSIONS[act])
    if act not in _KNOWN:
        # Of another release.
        return words(f"{act}: {subject}")
    kind = ActKind(act)
    if kind in _NAMED:
        link, done = _NAMED[kind]
        return words(one(link, subject, subject.partition(":")[2] or subject), done)
    thing, where, done = _UNNAMED[kind]
    target = None if where is None else Link(where, None if where in _LISTS else subject)
    if where in _QUOTED and not reads_payloads:
        about = None
    if about and kind in _MANY:
        thing = _MANY[kind].format(number(int(about), "task"))
        if int(about) == 1:
            done = done.replace(" were ", " was ", 1)
    elif about:
        thing = f"{thing} ({about.rstrip('.')})" if where is LinkKind.ALERT else about
    return words(Part(thing, target), done)


def _published(row: VersionRow) -> Words:
    pieces: list[str | Part] = []
    if row.new_versions:
        pieces += [
            f"New {'version' if row.new_versions == 1 else 'versions'} of ",
            *_types(row.task_types, row.new_versions),
        ]
    if row.new_types_in_all:
        pieces += ["; n" if pieces else "N", f"ew: {number(row.new_types_in_all, 'task type')} ("]
        pieces += [*_types(row.new_types, row.new_types_in_all), ")"]
    return words(*pieces)


def _types(names: Sequence[str], count: int) -> list[str | Part]:
    shown = [one(LinkKind.TASK_TYPE, name) for name in names[: 3 if count > 3 else count]]
    more = count - len(shown)
    return [*listed(shown), f" and {more:,} more" if more else ""]
