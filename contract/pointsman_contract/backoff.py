"""How long to wait after failures in a row. Pure: chance is a parameter."""

import random
from collections.abc import Callable

_DOUBLINGS = 64
"""More would be too large a number, and any cap is met long before."""


def backoff_seconds(
    failures: int, *, base: float, cap: float, jitter: float = 0.0, draw: Callable[[], float] = random.random
) -> float:
    """The wait after the ``failures``-th failure in a row (from 1): ``base`` seconds, doubled with each one more, at
    most ``cap``.

    ``jitter`` is the share of it that is drawn by chance, so that those who failed together do not come back together:
    1 draws from zero to the whole ("full jitter", https://aws.amazon.com/blogs/architecture/exponential-backoff-and-
    jitter/), 0.5 from its upper half, 0 draws nothing. ``draw`` gives a number from 0 to below 1.
    """
    longest = min(cap, base * 2.0 ** min(failures - 1, _DOUBLINGS))
    return longest * (1 - jitter + jitter * draw()) if jitter else longest
