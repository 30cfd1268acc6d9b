"""What is on pages, kept up to date while somebody looks.

Everybody who looks at one page with the same rights shares a room: it asks and renders once for all of them, and for
nobody not at all. A listener is sent the live blocks that changed, and with each look a beat: when that was, up to when
is recorded, what the tab says, and what is wrong with asking.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from fastapi.sse import format_sse_event
from pydantic_core import to_json
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from pointsman_service.callers import Caller
from pointsman_service.errors import TooManyListeners

MOST_OF_ONE_BROWSER = 4
"""Browsers have six connections to a server on HTTP/1.1. Who comes when so many are streams asks now and then."""
_AT_ONCE = 2
_LOOKS_A_SECOND = 4
"""Of all rooms together; with more rooms each looks less often."""
_REST = 3.0
"""Between two looks lies so many times as long as the last one took."""
_BEAT_SECONDS = 4.0
_AWAY_SECONDS = 5.0


class Key(NamedTuple):
    """What a room shows, and to whom."""

    target: str
    """The page with its query, below the dashboard."""
    caller: Caller


@dataclass(frozen=True)
class Look:
    """What a page was when it was looked at."""

    fragments: Mapping[str, str] = field(default_factory=dict)
    """What is in each live element, by its id."""
    beat: Mapping[str, Any] = field(default_factory=dict)
    fault: str | None = None
    """Why it could not be seen."""

    @property
    def mark(self) -> str:
        """The same for the same content."""
        return mark_of(self.fragments)


Looks = Callable[[Key], Awaitable[Look]]


def mark_of(fragments: Mapping[str, str]) -> str:
    """What content is known by."""
    joined = "\0".join(f"{name}\0{content}" for name, content in sorted(fragments.items()))
    return hashlib.sha256(joined.encode()).hexdigest()[:16]


def partials(fragments: Mapping[str, str]) -> str:
    """Fragments as htmx takes them: each says where it belongs."""
    return "".join(
        f'<hx-partial hx-target="#{name}" hx-swap="outerMorph">{content}</hx-partial>'
        for name, content in fragments.items()
    )


class Room:
    """Those who look at one page, and what it was last."""

    def __init__(self, key: Key, every_seconds: float) -> None:
        self.key = key
        self.every_seconds = every_seconds
        self.listeners = 0
        self.last: Look | None = None
        self.looked = 0
        """How often."""
        self.changed = asyncio.Condition()
        self.task: asyncio.Task[None] | None = None


class Streams:
    """The rooms of one process."""

    def __init__(self, look: Looks, most: int) -> None:
        self._look = look
        self._most = most
        self._rooms: dict[Key, Room] = {}
        self._of_browser: Counter[str] = Counter()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._closed = False
        self._waking: list[asyncio.Future[None]] = []

    @property
    def listeners(self) -> int:
        """How many look."""
        return sum(room.listeners for room in self._rooms.values())

    def has_room_for(self, browser: str) -> bool:
        """Whether this browser may have one more stream."""
        return self._of_browser[browser] < MOST_OF_ONE_BROWSER and not self._closed

    def check(self) -> None:
        """Raises ``TooManyListeners`` where there are as many as there may be."""
        if self._closed:
            raise TooManyListeners("This process is about to stop.", retry_after_seconds=_AWAY_SECONDS)
        if self.listeners >= self._most:
            raise TooManyListeners(
                f"{self._most} listen to this process already, as many as POINTSMAN_LISTENERS_MOST lets.",
                retry_after_seconds=_AWAY_SECONDS,
            )

    def join(self, key: Key, browser: str, every_seconds: float) -> "Room":
        """Begin to look, until ``leave``."""
        room = self._rooms.get(key)
        if room is None:
            room = self._rooms[key] = Room(key, every_seconds)
        room.listeners += 1
        self._of_browser[browser] += 1
        if room.task is None or room.task.done():
            room.task = asyncio.create_task(self._keep_looking(room), name=f"dashboard {key.target or 'start'}")
        return room

    def stream(self, key: Key, browser: str, every_seconds: float, seen: str) -> "Stream":
        """The answer to a listener. ``seen`` is the mark of what it has; only what differs from it is sent."""
        return Stream(self, self.join(key, browser, every_seconds), browser, seen)

    async def events(self, room: Room, seen: str) -> AsyncIterator[bytes]:
        """Server-sent events for one who joined."""
        yield format_sse_event(comment="listening")
        sent: dict[str, str] = {}
        looked = 0
        while not self._closed:
            if not await self._next_look(room, looked):
                yield format_sse_event(comment="")
                continue
            looked, look = room.looked, room.last
            if look is None or self._closed:
                continue
            if look.fault is None:
                if not sent and look.mark == seen:
                    sent = dict(look.fragments)
                fresh = {name: content for name, content in look.fragments.items() if sent.get(name) != content}
                sent = dict(look.fragments)
                if fresh:
                    yield format_sse_event(data_str=partials(fresh), id=look.mark)
            yield format_sse_event(data_str=to_json(look.beat).decode(), event="beat")

    async def _next_look(self, room: Room, seen: int) -> bool:
        """Wait for a look after that one; False: there was none for a while."""
        async with room.changed:
            try:
                async with asyncio.timeout(_BEAT_SECONDS):
                    await room.changed.wait_for(lambda: room.looked != seen or self._closed)
            except TimeoutError:
                return False
        return True

    async def _keep_looking(self, room: Room) -> None:
        while room.listeners and not self._closed:
            started = time.monotonic()
            async with self._turns:
                look = await self._look(room.key)
            took = time.monotonic() - started
            async with room.changed:
                room.last = look
                room.looked += 1
                room.changed.notify_all()
            await asyncio.sleep(max(room.every_seconds, len(self._rooms) / _LOOKS_A_SECOND, _REST * took))

    def leave(self, room: Room, browser: str) -> None:
        """Look no more. Nobody looks when the last has left."""
        room.listeners -= 1
        self._of_browser[browser] -= 1
        if not self._of_browser[browser]:
            del self._of_browser[browser]
        if not room.listeners:
            if self._rooms.get(room.key) is room:
                del self._rooms[room.key]
            if room.task is not None:
                room.task.cancel()

    def close(self) -> None:
        """End every stream: the process is about to stop."""
        self._closed = True
        for room in self._rooms.values():
            if room.task is not None:
                room.task.cancel()
            # Held, or it might be collected before it has run.
            self._waking.append(asyncio.ensure_future(_wake(room)))


class Stream(StreamingResponse):
    """What one listener gets. Its place is taken from the start: those who ask at once must not all find the same."""

    def __init__(self, streams: Streams, room: Room, browser: str, seen: str) -> None:
        # A proxy that gathers what it passes on would keep events from their listener.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
        super().__init__(streams.events(room, seen), media_type="text/event-stream", headers=headers)
        self._leave = partial(streams.leave, room, browser)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Until the listener is gone, or the process stops."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


async def _wake(room: Room) -> None:
    async with room.changed:
        room.changed.notify_all()
