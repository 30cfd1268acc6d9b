"""How much of the bodies of requests one process holds at once, and how long they may hold the process."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from pointsman_service.errors import TooManyBodies, TooManyReaders

_UNNOTICED_SECONDS = 0.02
"""Of the event loop, so long that an answer to others takes part of it a few times without anybody's noticing."""

Made = TypeVar("Made")


class Room:
    """Room for so many bytes of bodies that are being received or wait for their turn."""

    def __init__(self, most_bytes: int) -> None:
        self._free = most_bytes

    def take(self, size: int) -> None:
        """Take room for ``size`` more bytes, to be released. Raises ``TooManyBodies``."""
        if size > self._free:
            raise TooManyBodies
        self._free -= size

    def release(self, size: int) -> None:
        """Give up room for ``size`` bytes that ``take`` took."""
        self._free += size

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Room for the length of the block. Raises ``TooManyBodies``."""
        self.take(size)
        try:
            yield
        finally:
            self.release(size)


class Turns:
    """Lets through so many bytes of bodies at once, in the order of their coming; one alone may have more."""

    def __init__(self, most_bytes: int) -> None:
        self._most = self._free = most_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def turn(self, size: int) -> AsyncIterator[None]:
        """Wait for the turn of a body, which lasts as long as the block."""
        size = min(size, self._most)
        if self._waiting or size > self._free:
            mine = (size, asyncio.get_running_loop().create_future())
            self._waiting.append(mine)
            try:
                await mine[1]
            except asyncio.CancelledError:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                elif not mine[1].cancelled():
                    # Its turn had come.
                    self._free += size
                self._let_through()
                raise
        else:
            self._free -= size
        try:
            yield
        finally:
            self._free += size
            self._let_through()

    def _let_through(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, first = self._waiting.popleft()
            if not first.cancelled():
                self._free -= size
                first.set_result(None)


class Pace:
    """Lets long bodies take their steps one at a time, and leaves the event loop to others as long as a step took."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def step(self, work: Callable[[], Made]) -> Made:
        """What ``work`` makes, or raises. A short one leaves others one turn of the loop."""
        async with self._lock:
            began = time.monotonic()
            try:
                return work()
            finally:
                held = time.monotonic() - began
                await asyncio.sleep(held if held > _UNNOTICED_SECONDS else 0)


class Places:
    """Places for so many readers at once of what takes a connection, and milliseconds of everybody's."""

    def __init__(self, most: int, seconds: float) -> None:
        self._free = asyncio.Semaphore(most)
        self._seconds = seconds

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for the length of the block. Raises ``TooManyReaders`` when none gets free in time."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._free.acquire()
        except TimeoutError:
            raise TooManyReaders from None
        try:
            yield
        finally:
            self._free.release()
