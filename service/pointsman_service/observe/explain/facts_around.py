"""The facts of causes that lie around a task: Redis, roles, its queue, its workers, what holds it."""

from dataclasses import dataclass
from datetime import datetime

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
    ahead_elsewhere: int | None
    """About so many tasks of other queues, which the same nodes empty first; null where that is not known."""


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
