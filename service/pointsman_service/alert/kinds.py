"""What there are alerts about. A closed list; ``docs/alerts.md`` explains it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.remedies import OF_SCOPE, OF_SCOPE_LONG, REMEDIES
from pointsman_service.observe.explain.remedies import TROUBLE as _TROUBLE


class Severity(StrEnum):
    """Who has to know, and when."""

    PAGE = "page"
    """Somebody, now: something stands still, or is shown falsely."""
    TICKET = "ticket"
    """Somebody, in the morning."""


class Rule(StrEnum):
    """One kind of alert. The order is that in which they are read: what causes others comes before them."""

    DATABASE_AWAY = "database_away"
    BROKER_AWAY = "broker_away"
    BROKER_FULL = "broker_full"
    BROKER_KEY = "broker_key"
    NO_RECORDER = "no_recorder"
    NO_DISPATCHER = "no_dispatcher"
    NO_RECONCILER = "no_reconciler"
    RECORDER_BEHIND = "recorder_behind"
    STREAM_LONG = "stream_long"
    DISPATCHER_BEHIND = "dispatcher_behind"
    NO_WORKER = "no_worker"
    WORKER_EJECTED = "worker_ejected"
    UNKNOWN_TASK_TYPE = "unknown_task_type"
    BREAKER_OPEN_LONG = "breaker_open_long"
    BREAKER_OPEN = "breaker_open"
    BACKLOG_OLD = "backlog_old"
    SLA_AT_RISK = "sla_at_risk"
    SLA_FAST_BURN = "sla_fast_burn"
    SLA_SLOW_BURN = "sla_slow_burn"
    WORKER_LOST = "worker_lost"
    DEAD_LETTERS = "dead_letters"
    ERROR_BACK = "error_back"
    ERROR_NEW = "error_new"
    MESSAGES_SET_ASIDE = "messages_set_aside"
    BROKER_MEMORY = "broker_memory"
    EVENTS_LEFT_OUT = "events_left_out"


TELLS_ERRORS: Final = frozenset(
    {Rule.BREAKER_OPEN, Rule.BREAKER_OPEN_LONG, Rule.DEAD_LETTERS, Rule.ERROR_BACK, Rule.ERROR_NEW}
)
"""Whose summaries hold the message of an error."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What all alerts of one rule have in common."""

    severity: Severity
    hold_seconds: float
    """So long it must be true before there is an alert."""
    clear_seconds: float
    """So long it must be over before the alert is resolved: what comes and goes is one alert."""
    was: str
    """What was wrong, once it is over. What it was about follows."""
    next_step: str
    """What to do, the remedy first."""
    page: str
    """Where it is explained."""


KINDS: dict[Rule, Kind] = {
    Rule.DATABASE_AWAY: Kind(
        Severity.PAGE,
        5,
        0,
        "PostgreSQL did not answer",
        "Bring PostgreSQL back, or if it refuses us mend our URL or password; submissions are refused meanwhile.",
        _TROUBLE + "postgresql-does-not-answer",
    ),
    Rule.BROKER_AWAY: Kind(
        Severity.PAGE,
        3,
        5,
        "Redis did not answer",
        *REMEDIES[Cause.BROKER_AWAY],
    ),
    Rule.BROKER_FULL: Kind(
        Severity.PAGE,
        2,
        15,
        "Redis was full, and nothing was sent",
        *REMEDIES[Cause.BROKER_FULL],
    ),
    Rule.BROKER_KEY: Kind(
        Severity.PAGE,
        2,
        15,
        "A key of Celery's was of another type",
        *REMEDIES[Cause.BROKER_KEY],
    ),
    Rule.NO_RECORDER: Kind(Severity.PAGE, 0, 5, "No recorder ran", *REMEDIES[Cause.NO_RECORDER]),
    Rule.NO_DISPATCHER: Kind(Severity.PAGE, 0, 5, "No dispatcher ran", *REMEDIES[Cause.NO_DISPATCHER]),
    Rule.NO_RECONCILER: Kind(Severity.PAGE, 0, 5, "No reconciler ran", *REMEDIES[Cause.NO_RECONCILER]),
    Rule.RECORDER_BEHIND: Kind(
        Severity.PAGE,
        30,
        15,
        "What workers report was written down late",
        *REMEDIES[Cause.RECORDER_BEHIND],
    ),
    Rule.STREAM_LONG: Kind(
        Severity.PAGE,
        5,
        15,
        "Many reports of workers were not written down",
        "Mend the recorder before workers wait at the gate.",
        _TROUBLE + "the-recorder-is-behind",
    ),
    Rule.DISPATCHER_BEHIND: Kind(
        Severity.PAGE,
        30,
        15,
        "Tasks waited unsent though there was room",
        *REMEDIES[Cause.DISPATCHER_BEHIND],
    ),
    Rule.NO_WORKER: Kind(
        Severity.PAGE,
        0,
        10,
        "No worker took tasks",
        *REMEDIES[Cause.NO_WORKER],
    ),
    Rule.WORKER_EJECTED: Kind(
        Severity.PAGE,
        0,
        10,
        "Every worker of a queue was kept off it",
        *REMEDIES[Cause.WORKER_EJECTED],
    ),
    Rule.UNKNOWN_TASK_TYPE: Kind(
        Severity.PAGE,
        8,
        15,
        "No worker of a queue knew a task type",
        *REMEDIES[Cause.UNKNOWN_TASK_TYPE],
    ),
    Rule.BREAKER_OPEN_LONG: Kind(
        Severity.PAGE,
        0,
        15,
        "A circuit breaker did not close for long",
        "It does not recover by itself: mend what is called.",
        _TROUBLE + "a-breaker-is-open",
    ),
    Rule.BREAKER_OPEN: Kind(
        Severity.TICKET,
        0,
        15,
        "A circuit breaker was open",
        *REMEDIES[Cause.BREAKER_OPEN],
    ),
    Rule.BACKLOG_OLD: Kind(
        Severity.TICKET,
        10,
        30,
        "Tasks waited for longer than their target",
        "Look at the queue's rates and consumers, and start more workers.",
        _TROUBLE + "queue-growing",
    ),
    Rule.SLA_AT_RISK: Kind(
        Severity.TICKET,
        0,
        30,
        "Tasks were about to miss their target",
        "Start more workers of the queue, or take away what fills it, before they do.",
        _TROUBLE + "queue-growing",
    ),
    Rule.SLA_FAST_BURN: Kind(
        Severity.PAGE,
        0,
        60,
        "Many starts missed their target",
        "Look at the queue's rates and consumers, and start more workers.",
        _TROUBLE + "queue-growing",
    ),
    Rule.SLA_SLOW_BURN: Kind(
        Severity.TICKET,
        0,
        300,
        "Starts missed their target for long",
        "Give the queue more processes, or long tasks their own queue.",
        _TROUBLE + "queue-growing",
    ),
    Rule.WORKER_LOST: Kind(
        Severity.TICKET,
        0,
        5,
        "A worker fell silent",
        *REMEDIES[Cause.WORKER_LOST],
    ),
    Rule.DEAD_LETTERS: Kind(
        Severity.TICKET,
        0,
        60,
        "Tasks failed for good",
        "Look at what they fail with; replay them when it is mended.",
        _TROUBLE + "high-failure-rate",
    ),
    Rule.ERROR_BACK: Kind(
        Severity.TICKET,
        10,
        0,
        "An error was back again",
        "It was taken for mended, or for rare: read its traceback, mend it, and resolve it again.",
        "docs/errors.md#judge-them",
    ),
    Rule.ERROR_NEW: Kind(
        Severity.TICKET,
        10,
        0,
        "An error was new",
        "Read its traceback, and mend it and resolve it, or ignore it within a limit.",
        "docs/errors.md#judge-them",
    ),
    Rule.MESSAGES_SET_ASIDE: Kind(
        Severity.TICKET,
        0,
        5,
        "Messages were set aside",
        "Look at them, stop who writes them, and discard them.",
        _TROUBLE + "messages-were-set-aside",
    ),
    Rule.BROKER_MEMORY: Kind(
        Severity.TICKET,
        5,
        15,
        "Redis was filling up",
        "Find what fills it, or raise maxmemory, before nothing is sent.",
        _TROUBLE + "redis-is-full",
    ),
    Rule.EVENTS_LEFT_OUT: Kind(
        Severity.TICKET,
        0,
        60,
        "Entries of the event stream were left out",
        "Find who else writes to this Redis; a password keeps others out.",
        _TROUBLE + "events-were-left-out",
    ),
}

_OF_SCOPE = {Rule.BREAKER_OPEN: OF_SCOPE, Rule.BREAKER_OPEN_LONG: OF_SCOPE_LONG}


def advice(rule: Rule, subject: str) -> tuple[str, str]:
    """What to do, and where it is explained: of a circuit breaker, by what it is of."""
    kind = KINDS[rule]
    of_scope = _OF_SCOPE.get(rule, {}).get(subject.partition(":")[0])
    return of_scope or (kind.next_step, kind.page)
