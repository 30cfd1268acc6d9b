"""What there are alerts about. A closed list; ``docs/alerts.md`` explains it."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Who has to know, and when."""

    PAGE = "page"
    """Somebody, now."""
    TICKET = "ticket"
    """Somebody, in the morning."""


class Rule(StrEnum):
    """One kind of alert."""

    BREAKER_OPEN = "breaker_open"
    BREAKER_OPEN_LONG = "breaker_open_long"
    SLA_FAST_BURN = "sla_fast_burn"
    SLA_SLOW_BURN = "sla_slow_burn"
    BACKLOG_OLD = "backlog_old"
    NO_WORKER = "no_worker"
    UNKNOWN_TASK_TYPE = "unknown_task_type"
    WORKER_LOST = "worker_lost"
    DEAD_LETTERS = "dead_letters"
    RECORDER_BEHIND = "recorder_behind"
    DISPATCHER_BEHIND = "dispatcher_behind"
    STREAM_LONG = "stream_long"
    EVENTS_LEFT_OUT = "events_left_out"
    MESSAGES_SET_ASIDE = "messages_set_aside"
    BROKER_MEMORY = "broker_memory"
    BROKER_KEY = "broker_key"
    BROKER_AWAY = "broker_away"
    DATABASE_AWAY = "database_away"


@dataclass(frozen=True, slots=True)
class Kind:
    """What all alerts of one rule have in common."""

    severity: Severity
    hold_seconds: float
    """So long it must be true before there is an alert."""
    clear_seconds: float
    """So long it must be over before the alert is resolved: what comes and goes is one alert."""
    next_step: str
    """What to do, in one sentence."""
    page: str
    """Where it is explained."""


_TROUBLE = "docs/troubleshooting.md#"

KINDS: dict[Rule, Kind] = {
    Rule.BREAKER_OPEN: Kind(
        Severity.TICKET, 0, 15, "See what the calls fail with, and mend what is called.", _TROUBLE + "a-breaker-is-open"
    ),
    Rule.BREAKER_OPEN_LONG: Kind(
        Severity.PAGE, 0, 15, "It does not recover by itself: mend what is called.", _TROUBLE + "a-breaker-is-open"
    ),
    Rule.SLA_FAST_BURN: Kind(
        Severity.PAGE,
        0,
        60,
        "Look at the queue's rates and consumers, and start more workers.",
        _TROUBLE + "queue-growing",
    ),
    Rule.SLA_SLOW_BURN: Kind(
        Severity.TICKET,
        0,
        300,
        "Give the queue more processes, or long tasks their own queue.",
        _TROUBLE + "queue-growing",
    ),
    Rule.BACKLOG_OLD: Kind(
        Severity.TICKET,
        10,
        30,
        "Look at the queue's rates and consumers, and start more workers.",
        _TROUBLE + "queue-growing",
    ),
    Rule.NO_WORKER: Kind(
        Severity.PAGE, 10, 10, "Start a worker whose -Q names the queue.", _TROUBLE + "workers-not-processing-tasks"
    ),
    Rule.UNKNOWN_TASK_TYPE: Kind(
        Severity.PAGE,
        8,
        15,
        "Start a worker of the queue that has the task, or send the task to a queue of one that has it.",
        _TROUBLE + "an-unknown-task-type",
    ),
    Rule.WORKER_LOST: Kind(
        Severity.TICKET, 0, 5, "Read its machine's log, and start it again.", _TROUBLE + "a-worker-was-lost"
    ),
    Rule.DEAD_LETTERS: Kind(
        Severity.TICKET,
        0,
        60,
        "Look at what they fail with; replay them when it is mended.",
        _TROUBLE + "high-failure-rate",
    ),
    Rule.RECORDER_BEHIND: Kind(
        Severity.PAGE,
        30,
        15,
        "See that a recorder runs and that PostgreSQL is quick.",
        _TROUBLE + "the-recorder-is-behind",
    ),
    Rule.DISPATCHER_BEHIND: Kind(
        Severity.PAGE, 30, 15, "See that a dispatcher runs and what it logs.", _TROUBLE + "the-dispatcher-is-behind"
    ),
    Rule.STREAM_LONG: Kind(
        Severity.PAGE, 5, 15, "Mend the recorder before workers wait at the gate.", _TROUBLE + "the-recorder-is-behind"
    ),
    Rule.EVENTS_LEFT_OUT: Kind(
        Severity.TICKET,
        0,
        60,
        "Find who else writes to this Redis; a password keeps others out.",
        _TROUBLE + "events-were-left-out",
    ),
    Rule.MESSAGES_SET_ASIDE: Kind(
        Severity.TICKET,
        0,
        5,
        "Look at them, stop who writes them, and discard them.",
        _TROUBLE + "messages-were-set-aside",
    ),
    Rule.BROKER_MEMORY: Kind(
        Severity.TICKET, 5, 15, "Find what fills it, or raise maxmemory.", _TROUBLE + "redis-is-full"
    ),
    Rule.BROKER_KEY: Kind(
        Severity.PAGE,
        2,
        15,
        "Rename or delete that key, and find who else writes to this Redis.",
        _TROUBLE + "a-key-of-celery-is-of-another-type",
    ),
    Rule.BROKER_AWAY: Kind(
        Severity.PAGE,
        3,
        5,
        "Bring Redis back; tasks are accepted meanwhile and wait.",
        _TROUBLE + "redis-does-not-answer",
    ),
    Rule.DATABASE_AWAY: Kind(
        Severity.PAGE,
        5,
        0,
        "Bring PostgreSQL back; submissions are refused meanwhile.",
        _TROUBLE + "postgresql-does-not-answer",
    ),
}
