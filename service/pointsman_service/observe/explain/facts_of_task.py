"""The facts of causes that lie in the task itself: when it is due, how it was sent, how it runs, how it ended."""

from dataclasses import dataclass
from datetime import datetime

from pointsman_service.observe.explain.facts import Documented


@dataclass(frozen=True, slots=True)
class QuarantineFacts(Documented):
    """Of a task in quarantine."""

    interruptions: int
    """In a row."""
    queue: str
    kept_empty: bool
    """Whether its queue is being emptied for it."""


@dataclass(frozen=True, slots=True)
class DueFacts(Documented):
    """Of a task that is due later."""

    due_at: datetime
    attempt: int
    max_attempts: int
    error_type: str | None
    """Why its last attempt failed."""
    error_message: str | None


@dataclass(frozen=True, slots=True)
class RunFacts(Documented):
    """Of an attempt that runs."""

    attempt: int
    worker: str | None
    started_at: datetime | None
    ran_seconds: float | None
    usual_p95_seconds: float | None
    """Of runs of its type that ended lately; null: none did."""
    limit_at: datetime | None
    """When its time limit ends it."""
    progress_current: float | None
    progress_total: float | None
    progress_note: str | None


@dataclass(frozen=True, slots=True)
class CancelFacts(Documented):
    """Of a request to cancel."""

    by: str | None
    """Null: a purge."""
    requested_at: datetime
    grace_seconds: float | None
    """So long an attempt that runs may take to end; null: it is not asked to."""
    running: bool


@dataclass(frozen=True, slots=True)
class SentFacts(Documented):
    """Of a message."""

    queue: str
    sent_at: datetime | None
    """Null: it was not sent yet."""
    sendings: int
    fetched_by: str | None
    unclaimed_reason: str | None
    """What a worker said that gave it back."""


@dataclass(frozen=True, slots=True)
class EndFacts(Documented):
    """Of a task that ended."""

    finished_at: datetime
    attempt: int
    max_attempts: int
    interruptions: int
    queue_wait_seconds: float | None
    run_seconds: float | None
    worker: str | None
    error_type: str | None
    error_message: str | None
    by: str | None
    """Who cancelled it."""
    expires_at: datetime | None
    replayed_as: str | None
    """The task that runs it again."""
