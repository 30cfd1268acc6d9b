"""What is told of a task: the sentence, and the facts it was made of, by cause."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.facts_around import (
    BreakerFacts,
    BrokerFacts,
    BusyFacts,
    EjectionFacts,
    KeptEmptyFacts,
    LostFacts,
    NoWorkerFacts,
    PauseFacts,
    RoleFacts,
    UnknownTypeFacts,
    WindowFacts,
)
from pointsman_service.observe.explain.facts_of_task import (
    CancelFacts,
    DueFacts,
    EndFacts,
    QuarantineFacts,
    RunFacts,
    SentFacts,
)

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
