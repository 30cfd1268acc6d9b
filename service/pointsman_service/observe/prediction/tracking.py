"""Bounds from what came lately, kept honest by their own record.

The bound is an order statistic of the last values, as in QBETS (Nurmi, Brevik, Wolski, LNCS 4942): nothing is assumed
of how they are distributed, and when several in a row exceed the bound the world has changed and all before is
forgotten. Which order statistic follows the record (adaptive conformal inference, Gibbs and Candès, 2021): each miss
moves it up, each hit a little down, so that over time as many fall below as are meant to, whatever the world does.
"""

import math
from bisect import bisect_left, insort
from collections import deque

KEPT = 200
"""Values of one kind."""
LEAST = 10
"""Fewer say nothing."""
_CHANGED = 6
"""So many in a row above the upper bound, and what was before is another world."""
_MOVED = 14
"""Or so many in a row on one side of the middle: by chance once in eight thousand."""
_UPPER = 0.955
"""The share that the upper bound is to cover: a little more than is promised."""
_STEP_MIDDLE, _STEP_UPPER = 0.02, 0.01
"""How far one outcome moves a level."""


class Tracker:
    """The values of one kind."""

    def __init__(self) -> None:
        self._values: deque[float] = deque()
        self._sorted: list[float] = []
        self._middle, self._upper = 0.5, 0.96
        self._misses = 0
        self._side = 0
        """Values in a row above the middle; negative: below."""
        self._kept_at = float("-inf")
        self._learned_at = float("-inf")
        self._outcomes: deque[bool] = deque(maxlen=KEPT)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def compared(self) -> int:
        """How many of the last bounds were compared with what came."""
        return len(self._outcomes)

    @property
    def coverage(self) -> float | None:
        """The share of those within the upper bound."""
        return sum(self._outcomes) / len(self._outcomes) if self._outcomes else None

    def bounds(self) -> tuple[float, float] | None:
        """The middle and the upper bound of the next value; None when too few were seen."""
        if len(self._sorted) < LEAST:
            return None
        return self._at(self._middle), self._at(self._upper)

    def learn(self, value: float, middle: float, upper: float, at: float, apart: float) -> None:
        """A value that came ``at`` this moment, and the bounds that were given for it.

        Values that come less than ``apart`` seconds after one another say the same thing and count for less.
        """
        below, within = value <= middle, value <= upper
        since = max(at - self._learned_at, 0.0)
        weight = 1.0 if since >= apart else max(0.05, since / apart)
        self._learned_at = at
        self._middle = _between(self._middle + weight * _STEP_MIDDLE * (0.5 - below), 0.2, 0.8)
        self._upper = _between(self._upper + weight * _STEP_UPPER * (_UPPER - within), 0.9, 0.999)
        self._outcomes.append(within)
        self._misses = 0 if within else self._misses + 1
        if at - self._kept_at >= apart or len(self._values) < LEAST or not within:
            self._kept_at = at
            self._keep(value)
            self._side = min(self._side, 0) - 1 if below else max(self._side, 0) + 1
            if self._misses >= _CHANGED:
                self._cut(self._misses)
            elif abs(self._side) >= _MOVED:
                self._cut(_MOVED)

    def _keep(self, value: float) -> None:
        self._values.append(value)
        insort(self._sorted, value)
        if len(self._values) > KEPT:
            oldest = self._values.popleft()
            del self._sorted[bisect_left(self._sorted, oldest)]

    def _cut(self, kept: int) -> None:
        self._values = deque(list(self._values)[-kept:])
        self._sorted = sorted(self._values)
        self._misses = self._side = 0

    def _at(self, level: float) -> float:
        """The order statistic at a level; beyond the largest, that with a margin."""
        place = level * (len(self._sorted) + 1)
        if place >= len(self._sorted):
            spread = self._sorted[-1] / max(self._sorted[len(self._sorted) // 2], 1e-9)
            return self._sorted[-1] * min(1.5, math.sqrt(max(spread, 1.0)))
        below = max(1, math.floor(place))
        share = place - below if place >= 1 else 0.0
        return self._sorted[below - 1] + share * (self._sorted[below] - self._sorted[below - 1])


def _between(value: float, least: float, most: float) -> float:
    return min(most, max(least, value))
