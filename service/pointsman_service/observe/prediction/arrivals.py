"""How much comes in a second, by queue and priority: what is still to come may pass a task that waits. Pure."""

import math
from collections.abc import Mapping

from pointsman_service.observe.prediction.flow import NOTHING, Work

_MEMORY_SECONDS = 30.0
"""A rate follows a change within about so long."""


class Arrivals:
    """Rates that forget exponentially."""

    def __init__(self) -> None:
        self._rates: dict[str, dict[int, Work]] = {}
        self._seconds = 0.0

    def pass_by(self, seconds: float, came: Mapping[tuple[str, int], Work]) -> None:
        """In so many seconds this came, by queue and priority."""
        if seconds <= 0:
            return
        self._seconds += seconds
        # In the beginning as much is known as was seen.
        weight = max(1 - math.exp(-seconds / _MEMORY_SECONDS), min(1.0, seconds / self._seconds))
        for rates in self._rates.values():
            for priority, rate in list(rates.items()):
                rates[priority] = NOTHING.plus(rate, 1 - weight)
                if rates[priority].tasks < 1e-6:
                    del rates[priority]
        for (queue, priority), work in came.items():
            rates = self._rates.setdefault(queue, {})
            rates[priority] = rates.get(priority, NOTHING).plus(work, weight / seconds)

    def of(self, queue: str) -> dict[int, Work]:
        """A second, by priority."""
        return dict(self._rates.get(queue, {}))
