"""What the first page is made of: the installation at one moment. None is not known now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from pointsman_service.alert.alert import Alert, without_errors
from pointsman_service.now.picture import Change, ErrorLine, LastHour, RunningNow, Shift
from pointsman_service.observe.explain.facts import Node, Publisher
from pointsman_service.observe.explain.facts import RunningNow as Runs
from pointsman_service.observe.prediction.prediction import Prediction
from pointsman_service.observe.queues import QueueFigures


@dataclass(frozen=True, slots=True)
class Away:
    """A server that does not answer."""

    since: datetime | None
    """As far as this process knows."""
    reason: str
    """In words; may be empty."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The newest failure of something."""

    type: str
    message: str
    task_id: str | None
    count: int
    """How many like it, in a row."""


@dataclass(frozen=True, slots=True)
class Group:
    """The error group that most of the failures of something belong to."""

    id: UUID
    since: datetime
    """When it was first seen."""
    where: str | None
    """File and line of the innermost frame of its example."""
    count: int
    """Attempts that failed so within the last hour."""


@dataclass(frozen=True, slots=True)
class Example:
    """The newest failure of an error group."""

    task_type: str
    failure: Failure
    group: Group


@dataclass(frozen=True, slots=True)
class Tripped:
    """A circuit breaker that lets not every call through."""

    scope: str
    name: str
    seen: str
    """``open``, ``half_open`` or ``forced_open``."""
    since: datetime | None
    error: Failure | None = None
    retry_at: datetime | None = None
    """When it is tried next."""
    by: str | None = None
    """Who set it by hand; like the next two None when nobody did."""
    reason: str | None = None
    until: datetime | None = None
    held: int = 0
    """Tasks that it holds back."""
    held_types: Mapping[str, int] = field(default_factory=dict)
    """By task type, of the first types; each is counted up to ``first_page.moving.MOST_COUNTED``. Empty: not asked."""
    held_since: datetime | None = None
    """When the first of them was held."""
    group: Group | None = None
    """Of what it counts."""


@dataclass(frozen=True, slots=True)
class TypeRuns:
    """What attempts of one task type came to within a quarter of an hour."""

    executions: int
    failed: int
    """Tasks, for good."""
    succeeded: int
    """Tasks."""
    version_since: datetime | None = None
    """Since when its newest version is known; None: it is the first, or not known."""


@dataclass(frozen=True, slots=True)
class Mix:
    """What waits on a queue, by its first tasks."""

    looked_at: int
    task_type: str | None
    """The one that most of them are of."""
    type_share: float
    """0 to 1."""
    tag: tuple[str, str] | None
    """The one that most of them have; None: none has any."""
    tag_share: float
    submitted_from: datetime
    submitted_to: datetime


@dataclass(frozen=True, slots=True)
class TakenMemory:
    """What a part of Redis's data takes."""

    what: str
    size: int
    """Bytes, by estimate."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One moment."""

    now: datetime
    recorded_up_to: datetime | None = None
    lag_seconds: float | None = None
    """Age of the oldest report of a worker that is not written down."""
    lag_limit_seconds: float = 30.0
    """From there on figures are old."""
    unled: Mapping[str, float] = field(default_factory=dict)
    """By role of the control plane, seconds since somebody had it; 0 while somebody has."""
    missing_seconds: float = 10.0
    """So long nobody has a role until it is said that nobody runs; before that it changes hands."""
    database: Away | None = None
    """None: it answers."""
    broker: Away | None = None
    """None: it answers."""
    memory_percent: int | None = None
    full_percent: int = 70
    """From there on nothing is sent."""
    memory: Sequence[TakenMemory] = ()
    """What takes most of it, the largest first; empty while there is room."""
    alerts: Sequence[Alert] = ()
    """Those that are open."""
    queues: Sequence[QueueFigures] = ()
    """By urgency. While PostgreSQL is away, as they were seen last."""
    seen_at: datetime | None = None
    """When that was."""
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    """By queue, of a task of the queue's own priority that is submitted now."""
    nodes: Mapping[str, Sequence[Node]] = field(default_factory=dict)
    """By queue, those that take from it, and those that were there last."""
    running: Mapping[str, Sequence[Runs]] = field(default_factory=dict)
    """By queue, what its nodes run, what has run longest first."""
    mixes: Mapping[str, Mix] = field(default_factory=dict)
    """By queue, what waits; of those that are late alone."""
    busy: Mapping[str, int | None] = field(default_factory=dict)
    """By queue, processes of live workers of it that run something."""
    met_today: Mapping[str, float | None] = field(default_factory=dict)
    series: Mapping[str, tuple[tuple[float | None, ...], tuple[float | None, ...]]] = field(default_factory=dict)
    """By queue, what came and what went of each of the last minutes."""
    breakers: Sequence[Tripped] = ()
    breakers_in_all: int | None = None
    failing: Mapping[str, tuple[Failure, Group]] = field(default_factory=dict)
    """By task type, what most of its failures of the last hour are, with its example."""
    examples: Mapping[str, Example] = field(default_factory=dict)
    """By error group of the last hour, its newest failure."""
    types: Mapping[str, TypeRuns] = field(default_factory=dict)
    publishers: Mapping[str, Publisher] = field(default_factory=dict)
    """By task type that no node of its queue knows: who published it last."""
    errors: Sequence[ErrorLine] = ()
    changes: Sequence[Change] = ()
    changes_without_payloads: Sequence[Change] = ()
    lately: Sequence[Shift] = ()
    last_hour: LastHour | None = None
    worked: Sequence[RunningNow] = ()
    """While PostgreSQL is away: what workers run, as they say themselves."""

    def without_payloads(self) -> "Facts":
        """The same for who may not see payloads: no messages of errors, and no tags."""
        return replace(
            self,
            alerts=[without_errors(alert) for alert in self.alerts],
            breakers=[replace(one, error=_silent(one.error)) for one in self.breakers],
            failing={name: (replace(error, message=""), group) for name, (error, group) in self.failing.items()},
            examples={
                key: replace(one, failure=replace(one.failure, message="")) for key, one in self.examples.items()
            },
            mixes={name: replace(mix, tag=None) for name, mix in self.mixes.items()},
            changes=self.changes_without_payloads,
            errors=[replace(one, label=f"an error of {one.task_type}") for one in self.errors],
        )

    def lacks(self, role: str) -> bool:
        """Whether nobody has a role for so long that it is said."""
        return self.unled.get(role, 0.0) >= self.missing_seconds

    def unled_since(self, role: str) -> datetime | None:
        """Since when nobody has a role, as far as is known; None: somebody has."""
        seconds = self.unled.get(role, 0.0)
        return self.now - timedelta(seconds=seconds) if seconds > 0 else None

    @property
    def are_old(self) -> bool:
        """Whether figures are older than they may be: nothing of now is to be read from them."""
        return (
            self.database is not None or self.lacks("recorder") or (self.lag_seconds or 0.0) >= self.lag_limit_seconds
        )

    def queue(self, name: str) -> QueueFigures | None:
        """One queue."""
        return next((queue for queue in self.queues if queue.name == name), None)


def _silent(error: Failure | None) -> Failure | None:
    return None if error is None else replace(error, message="")
