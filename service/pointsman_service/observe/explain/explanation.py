"""What is told of a task: the sentence, and the facts it was made of, by cause."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.facts import Documented, HeldType, LastError, RunningNow


@dataclass(frozen=True, slots=True)
class BrokerFacts(Documented):
    """Of Redis."""

    reason: str | None
    """Why it cannot be used, in words."""
    memory_percent: int | None
    broken_keys: tuple[str, ...]
    """Keys of Celery's names that are of another type."""


@dataclass(frozen=True, slots=True)
class RoleFacts(Documented):
    """Of a role of the control plane."""

    role: str
    missing_seconds: float | None
    """How long nobody has it; null when nobody ever had it."""
    behind_seconds: float | None
    """How far the recorder is behind."""


@dataclass(frozen=True, slots=True)
class PauseFacts(Documented):
    """Of a pause."""

    queue: str
    by: str
    reason: str | None
    ahead: int | None
    """Tasks before it."""
    ahead_capped: bool
    """Whether there are more than were counted."""


@dataclass(frozen=True, slots=True)
class NodeFacts(Documented):
    """A worker node."""

    name: str
    last_seen_at: datetime
    left: bool | None
    """Whether it went in order; false: it fell silent."""


@dataclass(frozen=True, slots=True)
class NoWorkerFacts(Documented):
    """Of a queue that nobody takes from."""

    queue: str
    last_nodes: tuple[NodeFacts, ...]
    """Those that were there last."""
    ahead: int | None
    """Tasks before it."""
    ahead_capped: bool
    """Whether there are more than were counted."""


@dataclass(frozen=True, slots=True)
class EjectedFacts(Documented):
    """A node that is taken off its queues."""

    name: str
    since: datetime | None
    reason: str | None
    until: datetime | None
    """Null: until somebody admits it."""


@dataclass(frozen=True, slots=True)
class EjectionFacts(Documented):
    """Of nodes that are taken off their queues."""

    queue: str
    nodes: tuple[EjectedFacts, ...]


@dataclass(frozen=True, slots=True)
class LostFacts(Documented):
    """Of a worker that fell silent."""

    worker: str
    last_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class PublisherFacts(Documented):
    """The node that last published a task type."""

    name: str | None
    last_seen_at: datetime | None
    published_at: datetime


@dataclass(frozen=True, slots=True)
class UnknownTypeFacts(Documented):
    """Of a task type that nobody knows."""

    queue: str
    task_type: str
    nodes: tuple[str, ...]
    """Those that take from the queue."""
    held: int
    """Tasks that are held for it."""
    held_capped: bool
    """Whether there are more than were counted."""
    publisher: PublisherFacts | None


@dataclass(frozen=True, slots=True)
class BreakerFacts(Documented):
    """Of a circuit breaker."""

    scope: str
    name: str
    state: str
    by: str | None
    """Who set it by hand."""
    reason: str | None
    until: datetime | None
    """When what was set by hand ends."""
    retry_at: datetime | None
    """When it lets the first ones through again."""
    last_error: LastError | None
    held: int | None
    """Tasks that it holds."""
    held_capped: bool
    """Whether there are more than were counted."""
    held_types: tuple[HeldType, ...]
    """The same by task type, the most first."""


@dataclass(frozen=True, slots=True)
class QuarantineFacts(Documented):
    """Of a task in quarantine."""

    interruptions: int
    """In a row."""
    queue: str
    kept_empty: bool
    """Whether its queue is being emptied for it."""


@dataclass(frozen=True, slots=True)
class KeptEmptyFacts(Documented):
    """Of a queue that is kept empty."""

    queue: str
    task_id: str
    """The task in quarantine."""


@dataclass(frozen=True, slots=True)
class BusyFacts(Documented):
    """Of a queue whose processes have others before it."""

    queue: str
    processes: int
    busy: int
    ahead: int | None
    """Tasks before it, of equal or higher priority."""
    ahead_capped: bool
    """Whether there are more than were counted."""
    running: tuple[RunningNow, ...]
    """What these processes run, the longest first."""
    fetched_by: str | None
    """The node that has its message already."""
    starts_p50_seconds: float | None
    """Half of such tasks start within this; null where that cannot be said."""
    starts_p95_seconds: float | None
    """19 of 20 start within this."""


@dataclass(frozen=True, slots=True)
class WindowFacts(Documented):
    """Of a queue that has its share of the broker."""

    queue: str
    on_broker: int
    window: int
    ahead: int | None
    """Tasks before it, of equal or higher priority."""
    ahead_capped: bool
    """Whether there are more than were counted."""
    starts_p50_seconds: float | None
    """Half of such tasks start within this; null where that cannot be said."""
    starts_p95_seconds: float | None
    """19 of 20 start within this."""


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


CauseFacts = (
    BrokerFacts
    | RoleFacts
    | PauseFacts
    | NoWorkerFacts
    | EjectionFacts
    | LostFacts
    | UnknownTypeFacts
    | BreakerFacts
    | QuarantineFacts
    | KeptEmptyFacts
    | BusyFacts
    | WindowFacts
    | DueFacts
    | RunFacts
    | CancelFacts
    | SentFacts
    | EndFacts
)
FACTS: Mapping[Cause, type] = {
    **dict.fromkeys((Cause.BROKER_AWAY, Cause.BROKER_FULL, Cause.BROKER_KEY, Cause.BROKER_CENSUS), BrokerFacts),
    **dict.fromkeys(
        (
            Cause.NO_RECORDER,
            Cause.NO_DISPATCHER,
            Cause.NO_RECONCILER,
            Cause.RECORDER_BEHIND,
            Cause.DISPATCHER_BEHIND,
        ),
        RoleFacts,
    ),
    Cause.CANCELLING: CancelFacts,
    Cause.QUEUE_PAUSED: PauseFacts,
    Cause.NO_WORKER: NoWorkerFacts,
    Cause.WORKER_EJECTED: EjectionFacts,
    Cause.WORKER_LOST: LostFacts,
    Cause.UNKNOWN_TASK_TYPE: UnknownTypeFacts,
    **dict.fromkeys(
        (Cause.BREAKER_FORCED_OPEN, Cause.BREAKER_OPEN, Cause.BREAKER_HALF_OPEN, Cause.BREAKER_CLOSED), BreakerFacts
    ),
    Cause.QUARANTINE: QuarantineFacts,
    Cause.QUEUE_KEPT_EMPTY: KeptEmptyFacts,
    Cause.ALL_BUSY: BusyFacts,
    Cause.WINDOW_FULL: WindowFacts,
    Cause.RETRYING: DueFacts,
    Cause.SCHEDULED: DueFacts,
    Cause.RUNNING: RunFacts,
    **dict.fromkeys((Cause.NOT_BEGUN, Cause.STARTING, Cause.NOT_KNOWN), SentFacts),
    **dict.fromkeys(
        (
            Cause.SUCCEEDED,
            Cause.ATTEMPTS_SPENT,
            Cause.PERMANENT_ERROR,
            Cause.FAILED_FAST,
            Cause.INTERRUPTED,
            Cause.NOT_CLAIMED,
            Cause.CANCELLED,
            Cause.PURGED,
            Cause.EXPIRED,
        ),
        EndFacts,
    ),
}
"""What the facts of a cause are."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One cause, as it is told."""

    cause: Cause
    sentence: str
    since: datetime | None
    """Since when it is so, as far as is known."""
    clears_itself: bool | None
    """Whether it ends without anybody doing anything; None: not known. Of a task that ended: None, nothing waits."""
    expected_at: datetime | None
    """When it ends, or is tried, as far as is known."""
    what_to_do: str
    documentation: str
    """Where it is explained."""
    facts: CauseFacts
    link: str
    """The object of the API that it is about."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task is where it is."""

    root: Reason
    also: tuple[Reason, ...]
    """What holds at the same time, in the order of the causes."""
    as_of: datetime
