"""When a call ends."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

_MOST_SECONDS = 1_000_000.0
"""That a system is told to wait at once; who has longer waits again."""


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
        """Seconds, 0 when it is over; of a long time a part."""
        return max(0.0, min(self._at - time.monotonic(), _MOST_SECONDS))

    def hang_up(self) -> None:
        """End what is under way in another thread: it raises ``Unreachable``."""
        self._at = 0.0
        if (sock := self.sock) is not None:
            shut(sock)


def shut(sock: socket.socket) -> None:
    """End what another thread does with it. That thread sees its end, and goes on with all of it still there: the
    ``shutdown`` of a socket with TLS would take something away from under it.
    """
    with suppress(OSError, ValueError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


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
