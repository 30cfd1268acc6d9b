"""What workers report. Each event is one entry of the epoch's stream, appended by a script in ``lua/``.

Fields of an entry: ``kind``, ``task`` (id, or empty), ``attempt``, ``at`` (Unix seconds on the Redis clock), ``late``
(1 when the claim had been taken away meanwhile), ``body`` (JSON, by kind, below).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NotRequired, TypedDict


class EventKind(StrEnum):
    """What happened."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    """The gate met the message at or after its ``expires_at``; the body did not run."""
    DUPLICATE = "duplicate"
    """A second message of an attempt that was already claimed; the body did not run again."""
    ASK = "ask"
    """The message was dropped, also because its queue is paused: Postgres decides whether the task is sent again."""
    HELD = "held"
    """A circuit breaker let the message not pass: the entry's field ``breaker`` names it. Nothing was claimed."""
    BLOCKED = "blocked"
    """An attempt was about to make a call that it was not known to make, and that call's breaker is open. The attempt
    ended there and is not counted against the budget."""
    UNKNOWN = "unknown"
    """The worker does not know the task type."""
    UNCLAIMED = "unclaimed"
    """The message left the worker without having been claimed: ``reason`` says why. The task is sent again, but not
    for ever."""
    REVOKED = "revoked"
    """Celery was told to revoke the task: that is a request to cancel it. Also of tasks that nobody knows."""
    PROGRESS = "progress"
    """How far a running attempt is. The newest one counts; some may be left out."""
    NATIVE = "native"
    """A plain Celery task ended."""
    CATALOGUE = "catalogue"
    """The task types a worker offers."""


class ErrorBody(TypedDict):
    """Why an attempt failed. ``traceback`` is cut to 8 KiB, the newest frames kept."""

    type: str
    message: str
    traceback: str


class StartedBody(TypedDict):
    """``started``, ``expired``, ``duplicate``, ``ask``, ``held`` and ``unknown``."""

    task_type: str
    queue: str
    worker: str
    dispatch: int


class Ending(TypedDict):
    """How an attempt ended: the part of an outcome that its run decides."""

    result: NotRequired[str]
    """JSON text, at most 64 KiB. Absent when the task returned None."""
    error: NotRequired[ErrorBody]
    """Of ``failed`` and ``blocked``: always there."""
    permanent: NotRequired[bool]
    """No other attempt follows, whatever the budget."""
    retry_in_seconds: NotRequired[float]
    """When to go on, from the end of the attempt. Absent: never."""
    max_attempts: NotRequired[int]
    """What ``self.retry(max_retries=...)`` said; it counts instead of the task's own for this failure."""
    timed_out: NotRequired[bool]
    interrupted: NotRequired[bool]
    """Of ``failed``: its node was stopped while it ran. The attempt is not counted against the budget, and the task is
    sent again at once."""
    progress: NotRequired[str]
    """JSON text of the attempt's last ``Progress``."""
    breakers: NotRequired[dict[str, int | None]]
    """The circuit breakers of the attempt, each with its epoch when the attempt began (None: not known). A success
    counts for all of them."""
    blamed: NotRequired[list[str]]
    """Of a failure: the breakers that it counts for. The others hear nothing of it."""
    answered: NotRequired[list[str]]
    """Of a failure: the breakers of what did answer, though not as the task wished. It counts there as a success."""
    error_classes: NotRequired[list[str]]
    """Of a failure that somebody is blamed for: names of the exception's class and of those it derives from."""
    traceparent: NotRequired[str]
    """W3C trace context of the attempt, where it was traced."""
    held_by: NotRequired[str]
    """Of ``blocked``, always there: the breaker."""


class Ended(Ending):
    """An ended attempt, and when it ran."""

    started_at: float
    run_seconds: float


class OutcomeBody(StartedBody, Ended):
    """``succeeded``, ``failed`` and ``blocked``: repeats what ``started`` said, so that it can stand alone."""


class UnclaimedBody(StartedBody):
    """``unclaimed``."""

    reason: str


class RevokedBody(TypedDict):
    """``revoked``."""

    by: str
    """Who asked, as far as the worker knows."""
    kill: bool
    """Whether a running attempt is to end; otherwise it is left alone, and no other follows."""


class Progress(TypedDict):
    """How far an attempt is, as its body says it."""

    state: str
    """``PROGRESS``, or what ``update_state(state=...)`` named."""
    current: float | None
    total: float | None
    note: str
    meta: dict[str, Any] | None
    """What ``update_state(meta=...)`` gave."""
    at: float
    """Unix seconds on the worker's clock."""


class ProgressBody(TypedDict):
    """``progress``."""

    attempt: int
    progress: str
    """JSON text of a ``Progress``, at most ``PROGRESS_BYTES``."""


class NativeBody(TypedDict):
    """``native``: one ended execution of a plain Celery task."""

    task_type: str
    queue: str
    worker: str
    state: str
    """Celery's state: SUCCESS, FAILURE, RETRY, REJECTED, IGNORED."""
    run_seconds: float
    error: NotRequired[ErrorBody]


class CatalogueBody(TypedDict):
    """``catalogue``."""

    worker: str
    specs: list[dict[str, Any]]
    """Each a ``pointsman_contract.catalogue.TaskTypeSpec`` as JSON has it."""


EventBody = StartedBody | OutcomeBody | UnclaimedBody | RevokedBody | ProgressBody | NativeBody | CatalogueBody
BODIES: Mapping[EventKind, type] = {
    EventKind.STARTED: StartedBody,
    EventKind.SUCCEEDED: OutcomeBody,
    EventKind.FAILED: OutcomeBody,
    EventKind.EXPIRED: StartedBody,
    EventKind.DUPLICATE: StartedBody,
    EventKind.ASK: StartedBody,
    EventKind.HELD: StartedBody,
    EventKind.BLOCKED: OutcomeBody,
    EventKind.UNKNOWN: StartedBody,
    EventKind.UNCLAIMED: UnclaimedBody,
    EventKind.REVOKED: RevokedBody,
    EventKind.PROGRESS: ProgressBody,
    EventKind.NATIVE: NativeBody,
    EventKind.CATALOGUE: CatalogueBody,
}
"""The body of each kind."""


class RunningAttempt(TypedDict):
    """One attempt as a beat names it."""

    task: str
    attempt: int
    token: str


class Beat(TypedDict):
    """What a worker parent says of itself every ``BEAT_SECONDS`` from a thread with its own connection."""

    name: str
    """The Celery node name, e.g. ``critical@host``."""
    owner: str
    """Unique to this start of this parent."""
    pool: str
    queues: list[str]
    """What it consumes now, in its order of preference; also while it is ejected."""
    left: NotRequired[list[str]]
    """Queues it consumes no longer, though it may still hold messages of them."""
    processes: int
    pid: int
    host: str
    started_at: float
    contract: int
    counter: int
    """Rises with every beat. A worker is dead when it stands still, not when a clock says so."""
    consuming: int
    """Rises while the consumer's event loop turns."""
    epoch: int
    """The epoch under which all outcomes this node still keeps have been appended; 0 when none is valid."""
    running: list[RunningAttempt]
    reserved: NotRequired[list[str]]
    """Delivery tags (``message.delivery_tag``) of every message this node has fetched and not acknowledged,
    those that run among them: nobody else holds them. A message fetched after the beat is in the next one."""
    asking: NotRequired[list[str]]
    """Tasks whose attempt may be claimed already, though this node does not know it yet."""
    at: NotRequired[float]
    """Unix seconds by the worker's own clock: to show how old it is, never to judge who lives."""
    stopping: NotRequired[bool]
    """It was told to stop: it finishes what runs and takes nothing new."""
    ejected: NotRequired[bool]
    """It is taken off its queues: it finishes what runs and takes nothing new until it is let back."""


def queues_in_hand(beat: Beat) -> frozenset[str]:
    """Every queue that the worker may hold messages of."""
    return frozenset([*beat["queues"], *beat.get("left", ())])


BEAT_SECONDS = 2.0
RESULT_BYTES = 64 * 1024
TRACEBACK_BYTES = 8 * 1024
PROGRESS_BYTES = 4 * 1024
