"""What one caller may take, as it is said: with a key, or in the settings for all."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

RATE: Final = r"^[1-9][0-9]{0,6}/[1-9][0-9]{0,4}s$"
"""How a rate is written: tasks in seconds, as ``100/60s``."""
MOST_BURST: Final = 10_000_000
MOST_QUOTA: Final = 1_000_000_000
LEAST_WEIGHT: Final = 0.1
MOST_WEIGHT: Final = 10.0


@dataclass(frozen=True)
class Rate:
    """So many tasks in so many seconds in the long run, and ``burst`` at once.

    A caller that was silent long enough has ``burst`` permits; each task takes one, and one comes back every
    ``each_seconds`` (GCRA). In any span of ``t`` seconds that is at most ``burst + t / each_seconds`` tasks.
    """

    tasks: int
    seconds: int
    burst: int

    @classmethod
    def of(cls, text: str, burst: int | None = None) -> Self:
        """From ``100/60s``; without ``burst`` as many at once as in that span. Raises ``ValueError`` in words."""
        if not re.fullmatch(RATE, text):
            raise ValueError(f"{text!r} is no rate: it takes tasks in seconds, as 100/60s")
        if burst is not None and not 1 <= burst <= MOST_BURST:
            raise ValueError(f"a burst is from 1 to {MOST_BURST:,} tasks")
        tasks, _, seconds = text.removesuffix("s").partition("/")
        return cls(int(tasks), int(seconds), int(tasks) if burst is None else burst)

    @cached_property
    def each_seconds(self) -> float:
        """Until one permit comes back."""
        return self.seconds / self.tasks

    @cached_property
    def policy(self) -> str:
        """The value of ``RateLimit-Policy``, a structured field."""
        burst = "" if self.burst == self.tasks else f";pointsman-burst={self.burst}"
        return f'"rate";q={self.tasks};w={self.seconds}{burst}'

    @cached_property
    def lines(self) -> bytes:
        """Both header fields as they stand in an answer, for how much is left and the seconds until all of it is."""
        return b'ratelimit-policy: %b\r\nratelimit: "rate";r=%%d;t=%%d\r\n' % self.policy.encode()

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.tasks}/{self.seconds}s"


def rate_of(text: str | None, burst: int | None) -> Rate | None:
    """A rate where one is said. Raises ``ValueError`` in words, also for a burst of none."""
    if text is None:
        if burst is not None:
            raise ValueError("a burst is of a rate: it takes one beside it")
        return None
    return Rate.of(text, burst)


def texts_of(rate: Rate | None) -> tuple[str | None, int | None]:
    """The words that ``rate_of`` makes this rate of."""
    if rate is None:
        return None, None
    return str(rate), None if rate.burst == rate.tasks else rate.burst
