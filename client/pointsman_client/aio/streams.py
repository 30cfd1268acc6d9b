"""A stream of events that survives its connections."""

from dataclasses import replace
from typing import Protocol

from pointsman_client.calling.call import Call
from pointsman_client.calling.events import Event, EventLines
from pointsman_client.calling.retrying import Retries
from pointsman_client.errors import ClientError, DeadlineOver, Unreachable
from pointsman_client.pausing import apause
from pointsman_client.wire import AsyncHold, AsyncLines, Clock

SILENCE_SECONDS = 45.0
"""After which a stream is no longer believed to be there: the API says something every 15 seconds."""
_END = "end"
"""The event after which there is nothing more of a stream."""


class Opener(Protocol):
    """Whoever opens streams."""

    async def open(self, call: Call, seconds: float, hold: AsyncHold | None = None) -> AsyncLines:
        """One that begins within ``seconds``, unless ``hold`` is let go."""
        ...


class EventStream:
    """What comes after a moment, or after the ``Last-Event-ID`` of the call, once each and in order.

    Where a connection breaks off it goes on with a new one, from the last event that was seen. It is given up when
    there was none for ``timeout`` seconds. For one reader after the other, to be closed.
    """

    def __init__(self, wire: Opener, call: Call, timeout: float, retries: Retries) -> None:
        self._wire, self._call, self._timeout, self._retries = wire, call, timeout, retries
        self._events = EventLines(call.headers.get("Last-Event-ID"))
        self._lines: AsyncLines | None = None
        self._heard_at = Clock(timeout)
        self._times = 0
        self._is_empty = True
        self.is_over = False
        """Whether the API has said that there is nothing more."""

    async def next(self, seconds: float | None = None, hold: AsyncHold | None = None) -> Event | None:
        """The next event; None: it is over, or nothing came within ``seconds``. Raises ``Refused`` and
        ``Unreachable``, and ``LetGo`` when ``hold`` was let go.
        """
        until = None if seconds is None else Clock(seconds)
        if self._lines is None and self._times == 0:
            self._heard_at = Clock(self._timeout)
        while not self.is_over:
            left = SILENCE_SECONDS if until is None else min(SILENCE_SECONDS, until.left)
            if left <= 0:
                return None
            line = await self._line(left, hold)
            event = None if line is None else self._events.take(line)
            if event is not None:
                self.is_over = event.name == _END
                return event
        return None

    async def aclose(self) -> None:
        """Leave it."""
        lines, self._lines = self._lines, None
        self._events.broken()
        if lines is not None:
            await lines.aclose()

    async def _line(self, seconds: float, hold: AsyncHold | None) -> str | None:
        """A line; None: there was none this time."""
        try:
            if self._lines is None:
                self._times += 1
                self._lines = await self._wire.open(self._again(), min(seconds, self._heard_at.left), hold)
                self._is_empty = True
            line = await self._lines.next(seconds, hold)
            if line is None and self._is_empty and not self._lines.is_nothing:
                raise Unreachable("the stream ended before it had begun")
        except ClientError as error:
            await self.aclose()
            if isinstance(error, DeadlineOver) and seconds < SILENCE_SECONDS and self._heard_at.left > 0:
                return None
            rest = self._retries.pause(self._call, error, self._times, self._heard_at.left)
            if rest is None:
                raise
            await apause(min(rest, seconds))
            return None
        except BaseException:
            await self.aclose()
            raise
        if line is not None:
            self._is_empty = False
            self._heard_at, self._times = Clock(self._timeout), 0
            return line
        self.is_over = self._lines.is_nothing
        await self.aclose()
        if not self.is_over:
            await apause(min(self._events.retry_seconds, seconds))
        return None

    def _again(self) -> Call:
        if self._events.last_id is None:
            return self._call
        return replace(self._call, headers={**self._call.headers, "Last-Event-ID": self._events.last_id})
