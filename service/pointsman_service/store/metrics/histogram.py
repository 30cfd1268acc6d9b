"""A sparse log-bucketed histogram: any percentile within 5 %, as two small arrays that add up.

After DDSketch (Masson, Rim, Lee, VLDB 2019): a value belongs to bucket ``ceil(log(value) / log(GAMMA))``.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

GAMMA = 1.1
_LOG_GAMMA = math.log(GAMMA)
_SMALLEST = 1e-6
"""Seconds: anything shorter counts as this."""


def bucket_of(seconds: float) -> int:
    """The bucket of a duration."""
    return math.ceil(math.log(max(seconds, _SMALLEST)) / _LOG_GAMMA)


def value_of(bucket: int) -> float:
    """The duration a bucket stands for, in seconds: at most 5 % from any value in it."""
    return float(2 * GAMMA**bucket / (GAMMA + 1))


def percentile(counts: Mapping[int, int], fraction: float) -> float | None:
    """The shortest duration that ``fraction`` of the observations do not exceed, or None when there are none.

    By nearest rank: of n observations the one at ``ceil(fraction * n)``. Of two, the 95th percentile is the longer.
    """
    return percentiles(counts, (fraction,))[0]


def percentiles(counts: Mapping[int, int], fractions: Sequence[float]) -> list[float | None]:
    """``percentile`` of each of these fractions."""
    buckets = sorted(counts)
    seen = list(accumulate([counts[bucket] for bucket in buckets]))
    if not seen or not seen[-1]:
        return [None] * len(fractions)
    # Rounded, because 0.55 * 20 is a little more than 11.
    ranks = (max(1, math.ceil(round(fraction * seen[-1], 6))) for fraction in fractions)
    return [value_of(buckets[bisect_left(seen, rank)]) for rank in ranks]


def up_to(counts: Mapping[int, int], edges: Sequence[float]) -> list[int]:
    """How many observations do not exceed each of these rising durations, within 5 % of it."""
    ordered = sorted(counts.items())
    found, seen, at = [], 0, 0
    for edge in edges:
        while at < len(ordered) and value_of(ordered[at][0]) <= edge:
            seen += ordered[at][1]
            at += 1
        found.append(seen)
    return found


def merge(*parts: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Add up (bucket, count) pairs."""
    total: dict[int, int] = {}
    for part in parts:
        for bucket, count in part:
            total[bucket] = total.get(bucket, 0) + count
    return total
