"""How long tasks of a type run: what is expected of a new one, and of one that runs already. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from pointsman_service.store.metrics.histogram import value_of

FAR = 2.0
"""So many times the longest run is unlike all that were seen."""
_FEW = 3
"""Fewer runs than these tell nothing of an average."""


@dataclass(frozen=True, slots=True)
class RunTimes:
    """Of one type in one queue, or of all that is known of a queue."""

    runs: int
    mean: float
    square: float
    """Mean of the squares."""
    counts: Mapping[int, int]
    """Histogram (``store.metrics.histogram``)."""
    longest_before: float = 0.0
    """The longest that is known from longer ago."""
    newest: float = 0.0
    """How long its newest runs take, where these are far longer than all before; 0: they are like those."""
    doubt: float = 0.0
    """Standard deviation that all runs share: nobody knows yet whether the next ones are like the newest."""

    @classmethod
    def of(cls, counts: Mapping[int, int], each_more: float = 0.0) -> Self | None:
        """From a histogram; None when nothing was observed. ``each_more``: what a process needs beside the run."""
        runs = sum(counts.values())
        if not runs:
            return None
        values = [(value_of(bucket) + each_more, count) for bucket, count in counts.items()]
        mean = sum(value * count for value, count in values) / runs
        square = sum(value * value * count for value, count in values) / runs
        return cls(runs, mean, square, counts)

    @property
    def longest(self) -> float:
        """Of those that have ended."""
        return max(self.longest_before, max(map(value_of, self.counts), default=0.0))

    def is_overdue(self, elapsed: float) -> bool:
        """Whether one that has run for so long is unlike all that ended."""
        return self.newest > 0 or elapsed > FAR * self.longest

    def after(self, newest: float, share: float, *, goes_on: bool = False) -> Self:
        """What is believed once runs take ``newest`` seconds: that it goes on so with the probability ``share``.
        ``goes_on``: none of them has ended, so that they may take much longer.
        """
        return replace(
            self,
            mean=self.mean + share * (newest - self.mean),
            square=self.square + share * (newest**2 - self.square),
            newest=newest,
            doubt=math.sqrt(share * (1 - share)) * abs(newest - self.mean) + goes_on * share * newest,
        )

    def remaining(self, elapsed: float) -> float:
        """How long one that has run for ``elapsed`` seconds is expected to run on.

        One that has run longer than any before is expected to need as long again as it is over that, and one that only
        one or two have outlasted no longer than it has run.
        """
        if self.newest > elapsed:
            return self.newest - elapsed
        longer = [(value_of(bucket), count) for bucket, count in self.counts.items() if value_of(bucket) > elapsed]
        count = sum(count for _, count in longer)
        if count and not self.newest:
            left = sum((value - elapsed) * count for value, count in longer) / count
            return left if count >= _FEW else min(left, max(elapsed, self.mean))
        return max(elapsed - max(self.longest, self.newest), 0.1 * elapsed)
