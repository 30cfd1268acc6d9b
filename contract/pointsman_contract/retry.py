"""When a failed attempt is followed by another. Pure: chance is a parameter."""

import random
from collections.abc import Callable
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pointsman_contract.backoff import backoff_seconds

MAX_ATTEMPTS = 1000
"""Most attempts a task may ask for."""


class RetryPolicy(BaseModel):
    """How often, and how long after.

    The delay before retry n (from 1) is ``min(interval_max, interval_start + interval_step * 2**(n-1))`` seconds, with
    ``jitter`` drawn evenly from zero to that ("full jitter", https://aws.amazon.com/blogs/architecture/exponential-
    backoff-and-jitter/). Raises ``pydantic.ValidationError`` naming every bad or unknown key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    max_retries: int = Field(default=3, ge=0, lt=MAX_ATTEMPTS)
    """Attempts after the first one."""
    interval_start: float = Field(default=0.0, ge=0)
    """Seconds that every delay has at least, before jitter."""
    interval_step: float = Field(default=2.0, ge=0)
    """Seconds that are added before the first retry, and doubled before each one after it."""
    interval_max: float = Field(default=10.0, ge=0)
    """Longest delay in seconds."""
    jitter: bool = True
    """Whether delays are drawn by chance, so that tasks that failed together do not come back together."""

    @model_validator(mode="after")
    def _start_below_max(self) -> Self:
        if self.interval_start > self.interval_max:
            raise ValueError("interval_start must not be above interval_max")
        return self

    @classmethod
    def fixed(cls, max_retries: int, seconds: float) -> Self:
        """Always the same delay."""
        return cls(max_retries=max_retries, interval_start=seconds, interval_step=0, interval_max=seconds, jitter=False)

    @property
    def max_attempts(self) -> int:
        """The first attempt and its retries."""
        return self.max_retries + 1

    def backoff(self, retry: int) -> float:
        """Seconds before retry ``retry`` (from 1), without jitter."""
        doubling = backoff_seconds(retry, base=self.interval_step, cap=self.interval_max)
        return min(self.interval_max, self.interval_start + doubling)

    def delay(self, retry: int, draw: Callable[[], float] = random.random) -> float:
        """Seconds before retry ``retry`` (from 1); ``draw`` gives a number from 0 to below 1."""
        longest = self.backoff(retry)
        return draw() * longest if self.jitter else longest
