"""The end of a whole call, so that a peer that sends one byte at a time cannot hold a worker."""

import time

import httpx

from pointsman.errors import WorkerError


class DeadlinePassed(httpx.TimeoutException, WorkerError):
    """The call took longer than it may in all."""


class Deadline:
    """A moment on this process's clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def within(self, seconds: float | None) -> float:
        """At most ``seconds``, and not past the deadline. Raises ``DeadlinePassed``."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise DeadlinePassed(f"the call took longer than {self.seconds:g} s in all")
        return left if seconds is None else min(left, seconds)
