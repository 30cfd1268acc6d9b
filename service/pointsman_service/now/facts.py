"""What the first page is made of: the installation at one moment. None is not known now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pointsman_service.alert.alert import Alert
from pointsman_service.now.picture import BreakerLine, Change, ErrorLine, LastHour, RunningNow, Shift
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
class Facts:
    """One moment."""

    now: datetime
    recorded_up_to: datetime | None = None
    database: Away | None = None
    """None: it answers."""
    broker: Away | None = None
    """None: it answers."""
    alerts: Sequence[Alert] = ()
    """Those that are open."""
    queues: Sequence[QueueFigures] = ()
    """By urgency. While PostgreSQL is away, as they were seen last."""
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    """By queue, of a task of the queue's own priority that is submitted now."""
    busy: Mapping[str, int | None] = field(default_factory=dict)
    """By queue, processes of live workers of it that run something."""
    met_today: Mapping[str, float | None] = field(default_factory=dict)
    series: Mapping[str, tuple[tuple[float | None, ...], tuple[float | None, ...]]] = field(default_factory=dict)
    """By queue, what came and what went of each of the last minutes."""
    breakers: Sequence[BreakerLine] = ()
    breakers_in_all: int | None = None
    errors: Sequence[ErrorLine] = ()
    changes: Sequence[Change] = ()
    lately: Sequence[Shift] = ()
    last_hour: LastHour | None = None
    running: Sequence[RunningNow] = ()
