"""What the rules look at: the system at one moment. None is not known now, and changes no alert."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pointsman_service.observe.prediction.prediction import Prediction
from pointsman_service.observe.sla import Burn


@dataclass(frozen=True, slots=True)
class TrippedBreaker:
    """A breaker that lets not every call through."""

    scope: str
    name: str
    seen: str
    """``open``, ``half_open`` or ``forced_open``."""
    since: float
    """Unix seconds: when it left ``closed``, as far as is known."""
    last_error: str | None = None
    """The newest failure that it counted, in words."""


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """One configured queue."""

    name: str
    sla_seconds: float
    urgent: bool
    """Whether somebody should get up for it."""
    oldest_seconds: float | None
    """Since the oldest task that is due and not started was due; None: there is none."""
    waiting_seconds: float | None
    """The same, of those that wait in PostgreSQL to be sent."""
    paused: bool
    room: bool | None
    """Whether more of it may be sent now; None: not known."""
    consumers: int | None
    """Processes of live workers that are not kept off it; None: not known."""
    quiet_seconds: float | None = None
    """Since any worker of it was last seen alive; None: not known, or never."""
    kept_off: tuple[str, ...] = ()
    """Live workers that are taken off it."""
    resumed_seconds: float | None = None
    """Since it was resumed after a pause; None: it never was paused, or is."""
    depth: int | None = None
    """Tasks that are due and not started; None, like the next ones: not known."""
    waiting: int | None = None
    """Those of them that wait in PostgreSQL."""
    on_broker: int | None = None
    """Those of them that were sent."""
    running: int | None = None
    held: int | None = None
    window: int | None = None
    """So many may be on the broker at once."""
    remaining: Prediction | None = None
    """How much longer the oldest task that is due will wait; None: not asked."""
    prediction: Prediction | None = None
    """How long one of the queue's own priority would wait that is submitted now; None: not asked."""


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """One pool of workers, of those that live."""

    name: str
    processes: int
    busy: int
    """Attempts under way by their newest beats."""


@dataclass(frozen=True, slots=True)
class UnknownType:
    """Tasks that are held because no worker of their queue knows their type."""

    task_type: str
    queue: str
    tasks: int
    most_counted: int
    """No more were counted."""
    since: float
    """Unix seconds: when the first of them was held."""
    nodes: tuple[str, ...]
    """Workers that live and take from the queue."""
    knowing: tuple[str, ...] = ()
    """Those of them that know the type: what is held was taken by others."""


@dataclass(frozen=True, slots=True)
class LostWorker:
    """A worker that fell silent, did not say good-bye, and has no successor."""

    name: str


@dataclass(frozen=True, slots=True)
class ErrorNews:
    """An error group that is new, or back again."""

    group: str
    """Its id."""
    task_type: str
    blamed: str | None
    """The circuit breaker that its failures count for: ``dependency:smtp``."""
    words: str
    """What fails, in one line."""
    since: float
    """Unix seconds."""
    is_back: bool
    """It was resolved or ignored, and not only first seen."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One moment."""

    now: float
    """Unix seconds on the database clock."""
    breakers: tuple[TrippedBreaker, ...] | None = None
    breakers_complete: bool = True
    """False: there are more than were looked at."""
    queues: tuple[QueueFacts, ...] | None = None
    pools: tuple[PoolFacts, ...] | None = None
    burns: Mapping[str, Burn] | None = None
    """By queue."""
    failed: Mapping[str, int] | None = None
    """Tasks that failed for good within a quarter of an hour, by task type."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Why the newest of them failed, in words, by task type, where that is known."""
    unknown_types: tuple[UnknownType, ...] | None = None
    lost_workers: tuple[LostWorker, ...] | None = None
    errors: tuple[ErrorNews, ...] | None = None
    """What is news of error groups."""
    broker_up: bool | None = None
    broker_reason: str = ""
    """Why it is away, in words."""
    memory_percent: int | None = None
    broken_keys: tuple[str, ...] | None = None
    """Keys of Celery's names that are of another type."""
    stream_entries: int | None = None
    recorder_lag_seconds: float | None = None
    left_out: int | None = None
    """Entries of the event stream that were ever left out, if any was lately; else 0."""
    left_out_last: str = ""
    """Why the last of them was."""
    set_aside: Mapping[str, int] | None = None
    """Messages that nobody could run and nobody has discarded, by queue."""
    set_aside_last: Mapping[str, str] = field(default_factory=dict)
    """Why the newest of them was set aside, by queue, where that is known."""
    unled: Mapping[str, float] | None = None
    """By role of the control plane, seconds since somebody had it, as far as we have watched; 0 while somebody has."""
