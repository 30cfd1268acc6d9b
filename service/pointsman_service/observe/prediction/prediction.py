"""What is said of how long a task will wait."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Basis(StrEnum):
    """What a prediction was worked out from."""

    FLOW = "flow"
    """The work ahead, by what the processes of the queue complete."""
    HISTORY = "history"
    """What tasks waited lately that found as much ahead of them."""


class Confidence(StrEnum):
    """What the record of such predictions says: those of the same queue with as much ahead."""

    LOW = "low"
    """Few were compared with what came, or too many of them were wrong."""
    FAIR = "fair"
    """Some were compared, and about as many as promised started in time."""
    GOOD = "good"
    """Enough were compared to know (59: fewer cannot show a 95th percentile), and 90 to 99 % started in time."""


class Reason(StrEnum):
    """Why nothing can be said."""

    PAUSED = "paused"
    """The queue is paused."""
    NO_WORKER = "no_worker"
    """No process takes from the queue."""
    BREAKER_OPEN = "breaker_open"
    """A circuit breaker holds all of it."""
    UNKNOWN_TASK_TYPE = "unknown_task_type"
    """It is held: a worker that does not know its type had it."""
    NOT_ENOUGH_SEEN = "not_enough_seen"
    """Tasks are ahead, and nobody knows how long such tasks run."""
    NOT_KNOWN = "not_known"
    """What it takes is not known now: Redis is away, the workers are silent, or nobody makes forecasts."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """How long a task will wait from when it is due until it starts, or why that cannot be said."""

    p50_seconds: float | None
    """Half of such tasks start within this. None: see ``reason``."""
    p95_seconds: float | None
    """19 of 20 start within this. None: see ``reason``."""
    basis: Basis | None
    confidence: Confidence | None
    reason: Reason | None
    """None when there are seconds."""

    @classmethod
    def unsaid(cls, reason: Reason) -> Self:
        """Nothing can be said."""
        return cls(None, None, None, None, reason)
