"""Answers kept for a moment, and questions that are not waited for too long."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from pointsman_service.errors import ServiceError
from pointsman_service.telemetry import start_for_all

Answer = TypeVar("Answer")

_MOMENT_SECONDS = 2.0
_LEAST_SECONDS = 0.2
"""So long anybody waits, also where nobody was answered in time before."""
_LATE_SECONDS = 1.0
_asked_after: ContextVar[float] = ContextVar("asked_after", default=float("-inf"))


class NotInTime(ServiceError):
    """The answer did not come in time."""


@contextmanager
def asked_after(moment: float) -> Iterator[None]:
    """Within the block no answer that is kept for two seconds at most was asked for before ``moment``, monotonic, but
    where the question takes so long that it has to rest: who knows that something changed then is not told what was
    before.
    """
    token = _asked_after.set(moment)
    try:
        yield
    finally:
        _asked_after.reset(token)


class Kept(Generic[Answer]):
    """The answer to one question, asked again when it is older than ``seconds``, by one asker at a time.

    ``rest`` bounds the cost: between two questions lies at least ``rest`` times as long as the last one took.
    An error is not kept; it reaches everybody who waited.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Answer]], seconds: float, rest: float = 0.0) -> None:
        self._ask = ask
        self._seconds = seconds
        self._rest = rest
        self._good_until = self._rests_until = float("-inf")
        self._asked_at = self._answered_of = float("-inf")
        self._answer: Answer | None = None
        self._asking: asyncio.Task[Answer] | None = None
        self._is_late = False
        """Whether somebody was not answered in time, and nobody since."""

    async def get(self) -> Answer:
        """The answer. A caller that is cancelled does not take the question back."""
        after = _asked_after.get() if self._seconds <= _MOMENT_SECONDS else float("-inf")
        now = time.monotonic()
        is_new_enough = self._answered_of >= after or now < self._rests_until
        if now < self._good_until and self._answer is not None and is_new_enough:
            return self._answer
        while True:
            if self._asking is None:
                self._asked_at = time.monotonic()
                self._asking = start_for_all(self._ask_once())
                self._asking.add_done_callback(_look_at)
            asked_at = self._asked_at
            answer = await asyncio.shield(self._asking)
            if asked_at >= after:
                return answer

    async def soon(self, seconds: float) -> Answer:
        """The answer, or ``NotInTime`` so long after it was asked for: once nobody was answered in time, nobody else is
        kept waiting until somebody is. The question itself goes on, and is asked again only when it has ended.
        """
        left = seconds if self._asking is None else self._asked_at + seconds - time.monotonic()
        try:
            return await within(_LEAST_SECONDS if self._is_late else max(left, _LEAST_SECONDS), self.get())
        except NotInTime:
            self._is_late = True
            raise NotInTime(f"no answer within {seconds:g} s") from None

    async def _ask_once(self) -> Answer:
        started = time.monotonic()
        try:
            answer = await self._ask()
        except Exception:
            # An error that comes at once is an answer, too.
            self._is_late = self._is_late and time.monotonic() - started > _LATE_SECONDS
            raise
        finally:
            self._asking = None
        self._is_late = False
        ended = time.monotonic()
        self._answer, self._answered_of = answer, started
        self._rests_until = ended + self._rest * (ended - started)
        self._good_until = max(ended + self._seconds, self._rests_until)
        return answer


async def within(seconds: float, question: Awaitable[Answer]) -> Answer:
    """The answer, or ``NotInTime`` after ``seconds``; then the question is cancelled and its end is not waited for."""
    asking = asyncio.ensure_future(question)
    try:
        done, _ = await asyncio.wait([asking], timeout=seconds)
    except asyncio.CancelledError:
        _drop(asking)
        raise
    if done:
        return asking.result()
    _drop(asking)
    raise NotInTime(f"no answer within {seconds:g} s")


def _drop(asking: asyncio.Future[Any]) -> None:
    asking.add_done_callback(_look_at)
    asking.cancel()


def _look_at(asked: asyncio.Future[Any]) -> None:
    """An error that nobody waits for any more is no news."""
    if not asked.cancelled():
        asked.exception()
