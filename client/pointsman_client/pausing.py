"""Waiting for one another, in threads and in tasks, by the same words."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio


async def apause(seconds: float) -> None:
    """Wait, and let others go on."""
    await anyio.sleep(seconds)


def pause(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


class AsyncFlag:
    """Set by one task, waited for by one other."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        """Wake who waits, or spare the next wait."""
        self._event.set()

    async def taken(self, seconds: float) -> bool:
        """Whether it was set within ``seconds``. It is unset then."""
        with anyio.move_on_after(max(0.0, seconds)):
            await self._event.wait()
        if not self._event.is_set():
            return False
        self._event = anyio.Event()
        return True


class Flag:
    """Set by one thread, waited for by one other."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Wake who waits, or spare the next wait."""
        self._event.set()

    def taken(self, seconds: float) -> bool:
        """Whether it was set within ``seconds``. It is unset then."""
        if not self._event.wait(max(0.0, seconds)):
            return False
        self._event.clear()
        return True


class AsyncTurn:
    """One task at a time."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()

    async def taken(self, seconds: float) -> bool:
        """Whether it is one's turn within ``seconds``; then it is to be given back."""
        with anyio.move_on_after(max(0.0, seconds)):
            await self._lock.acquire()
            return True
        return False

    def taken_at_once(self) -> bool:
        """Whether it is one's turn now; then it is to be given back."""
        try:
            self._lock.acquire_nowait()
        except anyio.WouldBlock:
            return False
        return True

    def give_back(self) -> None:
        """Let the next."""
        self._lock.release()


class Turn:
    """One thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def taken(self, seconds: float) -> bool:
        """Whether it is one's turn within ``seconds``; then it is to be given back."""
        return self._lock.acquire(timeout=max(0.0, seconds))

    def taken_at_once(self) -> bool:
        """Whether it is one's turn now; then it is to be given back."""
        return self._lock.acquire(blocking=False)

    def give_back(self) -> None:
        """Let the next."""
        self._lock.release()


@contextmanager
def async_to_the_end() -> Iterator[None]:
    """What is begun in the block is not cut off when its task is cancelled."""
    with anyio.CancelScope(shield=True):
        yield


@contextmanager
def to_the_end() -> Iterator[None]:
    """No thread is cancelled."""
    yield
