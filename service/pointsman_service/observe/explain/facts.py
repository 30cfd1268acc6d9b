"""What is known when a task is explained: plain values. None is not known."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar

from pointsman_contract.states import Place
from pointsman_service.observe.prediction.prediction import Prediction
from pointsman_service.observe.tasks.task import Task


class Documented:
    """What is shown as it is: the docstrings of its attributes are what the API's document says of them."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Mapping[str, bool]] = {"use_attribute_docstrings": True}


@dataclass(frozen=True, slots=True)
class Count:
    """A number of tasks that was counted up to a limit."""

    tasks: int
    capped: bool = False
    """Whether there are more."""


@dataclass(frozen=True, slots=True)
class Pause:
    """That a queue is paused."""

    by: str
    reason: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class Node:
    """A worker node that takes, or took, from the queue."""

    name: str
    processes: int
    busy: int | None
    """Attempts that its newest beat names."""
    live: bool | None
    last_seen_at: datetime
    left: bool | None
    """Whether it went in order: it said good-bye, or is about to."""
    ejected: bool = False
    ejected_since: datetime | None = None
    ejected_reason: str | None = None
    ejected_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunningNow(Documented):
    """What the nodes of a queue run now, of one task type."""

    task_type: str
    tasks: int
    longest_seconds: float | None
    """Since the one of them that has run longest began."""
    longest_task_id: str | None
    usual_p95_seconds: float | None
    """Of runs of this type that ended lately."""
    longest_share: float | None = None
    """How much of its work the one that has run longest says is done, 0 to 1; null when it says nothing of that."""


@dataclass(frozen=True, slots=True)
class System:
    """The installation."""

    redis_up: bool | None
    redis_reason: str = ""
    """Why Redis is away, in words."""
    memory_percent: int | None = None
    full_percent: int = 100
    """From there on nothing is sent."""
    broken_keys: tuple[str, ...] = ()
    in_census: bool = False
    unled: Mapping[str, float] | None = None
    """By role of the control plane, seconds since somebody had it; 0 while somebody has."""
    missing_seconds: float = 10.0
    """So long nobody has a role until it is said that nobody runs; before that it changes hands."""
    recorder_lag_seconds: float | None = None
    recorder_limit_seconds: float = 30.0

    def lacks(self, role: str) -> bool:
        """Whether nobody has a role for so long that it is said."""
        return self.unled is not None and self.unled.get(role, 0.0) >= self.missing_seconds


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue."""

    name: str
    pause: Pause | None = None
    kept_for: str | None = None
    """The task in quarantine that it is kept empty for."""
    on_broker: int | None = None
    """Messages in its lists."""
    window: int | None = None
    """How many may be there."""
    broken: bool = False
    """Whether one of its lists is of another type."""
    nodes: tuple[Node, ...] | None = None
    """Those that live, and those that were there last."""
    running: tuple[RunningNow, ...] = ()
    begun: int = 0
    """Attempts of it that run as far as was written down, which beats may not name yet."""

    @property
    def serving(self) -> list[Node]:
        """Those that take from it now."""
        return [node for node in self.nodes or () if node.live and not node.ejected and not node.left]


@dataclass(frozen=True, slots=True)
class LastError(Documented):
    """The newest failure that a circuit breaker counted."""

    type: str
    message: str
    task_id: str | None
    at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class HeldType(Documented):
    """How many tasks of one type are held for one reason."""

    task_type: str
    tasks: int


@dataclass(frozen=True, slots=True)
class Breaker:
    """The circuit breaker that holds a task, or that is in its way."""

    scope: str
    name: str
    seen: str
    """``open``, ``half_open``, ``forced_open``, ``closed`` or ``disabled``."""
    since: datetime | None
    """When it opened, or was opened."""
    retry_at: datetime | None
    by: str | None = None
    """Who set it by hand; so the next two."""
    reason: str | None = None
    until: datetime | None = None
    last_error: LastError | None = None
    held: Count | None = None
    """Tasks that it holds."""
    held_types: tuple[HeldType, ...] = ()


@dataclass(frozen=True, slots=True)
class Publisher:
    """The node that last published a task type."""

    name: str | None
    """None: not known any more."""
    last_seen_at: datetime | None
    published_at: datetime


@dataclass(frozen=True, slots=True)
class UnknownType:
    """That no living node of the queue knows a task type."""

    nodes: tuple[str, ...]
    """Those that take from it."""
    held: Count
    publisher: Publisher | None
    knowing: tuple[str, ...] = ()
    """Those of the nodes that have published it."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The node that has fetched the message of a task."""

    node: str
    live: bool | None


@dataclass(frozen=True, slots=True)
class Live:
    """What only an unfinished task has."""

    place: Place
    sent_at: datetime
    held_at: datetime | None = None
    unclaimed: float = 0.0
    unclaimed_reason: str | None = None
    interrupted_in_a_row: int = 0
    cancel_grace_seconds: float | None = None
    time_limit_seconds: float | None = None
    takes_turns: bool = False
    """Whether it waits in PostgreSQL, where tasks of other shares do with its priority, too."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One task at one moment, and what it waits for."""

    now: datetime
    """On the database clock."""
    task: Task
    live: Live | None = None
    """None: it has ended."""
    system: System = field(default_factory=lambda: System(redis_up=None))
    queue: Queue = field(default_factory=lambda: Queue(""))
    ahead: Count | None = None
    """Tasks of its queue that are due, of equal or higher priority, and before it."""
    elsewhere: int | None = None
    """Tasks of other queues, which the nodes of its queue empty first, as far as the forecast knows."""
    prediction: Prediction | None = None
    """Of how long it goes on waiting for its turn."""
    fetched: Fetched | None = None
    runner: Fetched | None = None
    """Of one that runs: its node."""
    breaker: Breaker | None = None
    unknown: UnknownType | None = None
    usual_p95_seconds: float | None = None
    """Of runs of its type that ended lately."""

    def without_payloads(self) -> "Facts":
        """The same for who may not see messages of errors."""
        error, breaker = self.task.error, self.breaker
        task = self.task if error is None else replace(self.task, error=replace(error, message="", traceback=""))
        if breaker is not None and breaker.last_error is not None:
            breaker = replace(breaker, last_error=replace(breaker.last_error, message=""))
        return replace(self, task=task, breaker=breaker)
