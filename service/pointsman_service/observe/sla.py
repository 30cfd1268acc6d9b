"""Targets for queue wait: met and missed, what is left of the error budget, and how fast it is used up.

The *objective* is the share of first starts that should be within the target; what is missing to 1 is the *error
budget*, and the *burn rate* says how many times faster it is used than it lasts for 30 days. Alerts and the API go by
what stands here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pointsman_contract.queues import QueueSpec

BUDGET_SECONDS = 30 * 86_400.0
"""The error budget is of so long."""
FAST_BURN = 14.4
"""Times the error budget's even rate: at this one a month's budget lasts two days. The windows and both factors are
those of Google's SRE workbook, chapter 5 (multiwindow, multi-burn-rate alerts)."""
SLOW_BURN = 6.0


@dataclass(frozen=True, slots=True)
class Starts:
    """First starts of one queue within a window. A task that waits and has missed its target counts as missed."""

    met: float = 0.0
    missed: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.met + self.missed

    @property
    def missed_ratio(self) -> float:
        """The share past the target; 0 when nothing started."""
        return self.missed / self.total if self.total else 0.0

    def burn_rate(self, objective: float) -> float | None:
        """Times the error budget's even rate; None when nothing started."""
        return self.missed_ratio / (1 - objective) if self.total else None

    def budget_left(self, objective: float) -> float | None:
        """The share of the error budget of these starts that is not used up: 1 when none missed, below 0 when more
        missed than may. None when nothing started.
        """
        rate = self.burn_rate(objective)
        return None if rate is None else 1 - rate


@dataclass(frozen=True, slots=True)
class Burn:
    """First starts of one queue within four windows."""

    five_minutes: Starts = Starts()
    half_hour: Starts = Starts()
    hour: Starts = Starts()
    six_hours: Starts = Starts()

    def windows(self) -> Mapping[float, Starts]:
        """By their seconds."""
        return dict(zip(WINDOWS, (self.five_minutes, self.half_hour, self.hour, self.six_hours), strict=True))


WINDOWS = (300.0, 1800.0, 3600.0, 21_600.0)
"""Seconds of the windows of ``Burn``."""


def objective_of(spec: QueueSpec, default: float) -> float:
    """The queue's own objective, else that of all."""
    return default if spec.sla_objective is None else spec.sla_objective


def attainment(met: float, missed: float) -> float | None:
    """The share of first starts in time, 0 to 1; None when nothing started."""
    starts = met + missed
    return met / starts if starts else None


def met(due_at: datetime, started_at: datetime | None, now: datetime, target_seconds: float) -> bool | None:
    """Whether a task started in time: False as soon as the target passes unstarted, None until it is known."""
    target = due_at + timedelta(seconds=target_seconds)
    if started_at is not None:
        return started_at <= target
    return False if now > target else None
