"""When a call ends."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar


class Clock:
    """When what is under way ends, and on which socket it is."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds
        self.sock: socket.socket | None = None

    def give(self, seconds: float) -> None:
        """It ends so long from now."""
        self._at = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds, 0 when it is over."""
        return max(0.0, self._at - time.monotonic())

    def hang_up(self) -> None:
        """End what is under way in another thread: it raises ``Unreachable``."""
        self._at = 0.0
        if (sock := self.sock) is not None:
            with suppress(OSError, ValueError):
                sock.shutdown(socket.SHUT_RDWR)


current: ContextVar[Clock] = ContextVar("pointsman_client_clock")
"""That of the call which a thread is making."""


@contextmanager
def under(clock: Clock) -> Iterator[None]:
    """What is sent and read in the block ends with this clock."""
    token = current.set(clock)
    try:
        yield
    finally:
        current.reset(token)
