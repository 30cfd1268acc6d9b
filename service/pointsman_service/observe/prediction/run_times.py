"""How long tasks of a type run: what is expected of a new one, and of one that runs already. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pointsman_service.store.metrics.histogram import value_of


@dataclass(frozen=True, slots=True)
class RunTimes:
    """Of one type in one queue, or of all that is known of a queue."""

    runs: int
    mean: float
    square: float
    """Mean of the squares."""
    counts: Mapping[int, int]
    """Histogram (``store.metrics.histogram``)."""

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

    def remaining(self, elapsed: float) -> float:
        """How long one that has run for ``elapsed`` seconds is expected to run on.

        One that has run longer than any before is expected to need as long again as it is over that.
        """
        longer = [(value_of(bucket), count) for bucket, count in self.counts.items() if value_of(bucket) > elapsed]
        count = sum(count for _, count in longer)
        if count:
            return sum((value - elapsed) * count for value, count in longer) / count
        longest = max(map(value_of, self.counts), default=0.0)
        return max(elapsed - longest, 0.1 * elapsed)
