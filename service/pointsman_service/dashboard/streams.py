"""What is on pages, kept up to date while somebody looks.

Everybody who looks at one page with the same rights shares a room: it asks and renders once for all of them, and for
nobody not at all. It looks when something that the page shows has changed, now and then for what changes with time
alone, and the less often the more a look takes. A listener is sent the live blocks that changed, and a beat: when that
was, since when nothing has changed, up to when is recorded, what the tab says, and what is wrong with asking.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from pointsman_service.callers import Caller
from pointsman_service.dashboard.metering import Metered
from pointsman_service.dashboard.page import Pace
from pointsman_service.dashboard.rooms import Key, Look, Room
from pointsman_service.errors import ServiceError, TooManyListeners
from pointsman_service.live.places import AWAY_SECONDS, Places
from pointsman_service.live.topics import Topic, TopicListener
from pointsman_service.observe.kept import NotInTime, asked_after, within
from pointsman_service.telemetry import logger

log = logger(__name__)

_EVERYTHING = frozenset(Topic)
MOST_OF_ONE_BROWSER = 4
"""Browsers have six connections to a server on HTTP/1.1. Who comes when so many are streams asks now and then."""
_AT_ONCE = 2
_LEAST_SECONDS = 0.5
"""Between two looks at a page."""
_SHARE = 0.05
"""Of the time of one core that looks of all rooms may take in this process. About as much goes to PostgreSQL."""
_BEAT_SECONDS = 3.5
"""Between two beats at least; then one follows when the database has said that nothing changed."""
_LOOK_SECONDS = 4.0
"""A look that waits longer is given up: others wait for its turn, and who looks on is told nothing meanwhile."""
_LATE = "What is shown here could not be looked up in time."
_LOST_SECONDS = 6.0
"""So long after it last said anything a page is looked at, to see what is wrong."""
_GLANCE_SECONDS = 1.0
_SIGNS_SECONDS = 3.0
_NEWEST = 0.3
"""Of what a look is taken to cost, the share that the last one has."""


class Changes(Protocol):
    """Who tells what changed: ``live.changes.ChangeStream``."""

    @property
    def read_at(self) -> float | None:
        """When the database last said what changed, monotonic; None: nobody asks it, or it has not yet answered."""
        ...

    def topics(self, topics: Collection[Topic], *, counts: bool = True) -> TopicListener:
        """Somebody who is told."""
        ...

    def leave(self, listener: TopicListener) -> None:
        """They are told nothing more."""
        ...


Looks = Callable[[Key], Coroutine[Any, Any, Look]]
Signs = Callable[[], Awaitable[object]]
"""What pages show and no topic tells of, and costs the database nothing: any other answer than before is a change of
all topics."""


class Streams:
    """The rooms of one process."""

    def __init__(self, look: Looks, most: int, changes: Changes, signs: Signs, most_of_one: int | None = None) -> None:
        self._look = look
        self._signs = signs
        self._places = Places(most, most_of_one)
        self._changes = changes
        self._rooms: dict[Key, Room] = {}
        self._of_browser: Counter[str] = Counter()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._over = asyncio.Event()
        self._hearing: list[asyncio.Task[None]] = []
        self._waking: list[asyncio.Future[None]] = []

    @property
    def listeners(self) -> int:
        """How many look."""
        return sum(room.listeners for room in self._rooms.values())

    @property
    def rooms(self) -> Collection[Room]:
        """Each page that somebody looks at."""
        return self._rooms.values()

    def has_room_for(self, browser: str) -> bool:
        """Whether this browser may have one more stream."""
        return self._of_browser[browser] < MOST_OF_ONE_BROWSER and not self._over.is_set()

    def check(self, caller: Caller) -> None:
        """Raises ``TooManyListeners`` where there are as many as there may be, or as may be of this caller."""
        if self._over.is_set():
            raise TooManyListeners("This process is about to stop.", retry_after_seconds=AWAY_SECONDS)
        self._places.check(caller)

    def join(self, key: Key, browser: str, pace: Pace) -> Room:
        """Begin to look, until ``leave``: the next look is the first that is told. Raises ``TooManyListeners``."""
        self._places.take(key.caller)
        room = self._rooms.get(key)
        if room is None:
            room = self._rooms[key] = Room(key, pace)
        room.listeners += 1
        room.woken.set()
        self._of_browser[browser] += 1
        if room.task is None or room.task.done():
            room.task = asyncio.create_task(self._keep_looking(room), name=f"dashboard {key.target or 'start'}")
        if not self._hearing:
            hearing = {"what changes": self._hear(), "signs": self._watch_signs()}
            self._hearing = [asyncio.create_task(one, name=f"dashboard: {name}") for name, one in hearing.items()]
        return room

    def stream(self, key: Key, browser: str, pace: Pace, seen: str) -> "Stream":
        """The answer to a listener. ``seen`` is the mark of what it has; only what differs from it is sent."""
        return Stream(self, self.join(key, browser, pace), browser, seen)

    def events(self, room: Room, seen: str) -> AsyncIterator[bytes]:
        """Server-sent events for one who has just joined."""
        return self._events(room, seen, room.looked, room.told)

    async def _events(self, room: Room, seen: str, looked: int, told: int) -> AsyncIterator[bytes]:
        yield format_sse_event(comment="listening")
        has: Look | None = None
        while not self._over.is_set():
            await room.wait(told, self._over)
            told = room.told
            # What was looked at before it came may be older than the page that it has.
            if room.looked == looked or self._over.is_set():
                continue
            message, has = room.message(has, seen)
            yield message

    async def _hear(self) -> None:
        """Tell rooms what changed, for as long as there are any."""
        listener = self._changes.topics(_EVERYTHING, counts=False)
        try:
            while (news := await listener.await_news()) is not None:
                self._tell(news)
        finally:
            self._changes.leave(listener)

    async def _watch_signs(self) -> None:
        before: object = None
        while True:
            try:
                signs = await self._signs()
            except ServiceError as error:
                log.info("what Redis shows is not known now", reason=f"{type(error).__name__}: {error}")
            else:
                if before is not None and signs != before:
                    self._tell(_EVERYTHING)
                before = signs
            await asyncio.sleep(_SIGNS_SECONDS)

    def _tell(self, topics: Collection[Topic]) -> None:
        for room in self._rooms.values():
            room.hear(topics)

    async def _keep_looking(self, room: Room) -> None:
        while room.listeners and not self._over.is_set():
            room.woken.clear()
            async with self._turns:
                began = time.monotonic()
                looking = Metered(self._look(room.key))
                with asked_after(room.heard_at):
                    look = await _in_time(looking)
            room.cost += (_NEWEST if room.looked else 1.0) * (looking.seconds - room.cost)
            await room.show(look)
            pause = max(_LEAST_SECONDS, room.pace.least_seconds, self._pause_of(room))
            await asyncio.sleep(began + pause - time.monotonic())
            await self._occasion(room, began)

    def _pause_of(self, room: Room) -> float:
        """Seconds between two looks of a room: so that all rooms together keep to their share, and as little as can be
        is waited in all by those who look on. Many wait less, and so does who looks at what costs little. Never so long
        that a page would be taken for lost. Those whom nothing wakes take next to nothing of the share.
        """
        now = time.monotonic()
        sharing = (one for one in self._rooms.values() if one is room or one.is_busy(now))
        whole = sum(math.sqrt(one.cost * one.listeners) for one in sharing)
        return min(math.sqrt(room.cost / max(room.listeners, 1)) * whole / _SHARE, _LOST_SECONDS)

    async def _occasion(self, room: Room, looked_at: float) -> None:
        """Wait until there may be something new, and tell meanwhile that there is not."""
        told_at = time.monotonic()
        while not room.woken.is_set():
            now = time.monotonic()
            pause = min(room.due_at(looked_at) - now, _GLANCE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause)):
                    await room.woken.wait()
            now = time.monotonic()
            read_at = self._changes.read_at or float("-inf")
            # Nobody knows whether anything has changed when nobody can ask: then a look says what is wrong.
            if now >= room.due_at(looked_at) or now - max(read_at, looked_at) > _LOST_SECONDS:
                return
            if now >= told_at + _BEAT_SECONDS and read_at > told_at:
                told_at = now
                await room.tell_again(now - read_at)

    def leave(self, room: Room, browser: str) -> None:
        """Look no more. Nobody looks when the last has left."""
        self._places.leave(room.key.caller)
        room.listeners -= 1
        self._of_browser[browser] -= 1
        if not self._of_browser[browser]:
            del self._of_browser[browser]
        if not room.listeners:
            if self._rooms.get(room.key) is room:
                del self._rooms[room.key]
            if room.task is not None:
                room.task.cancel()
        if not self._rooms:
            self._hear_no_more()

    def _hear_no_more(self) -> None:
        for one in self._hearing:
            one.cancel()
        self._hearing = []

    def close(self) -> None:
        """End every stream: the process is about to stop."""
        self._over.set()
        self._hear_no_more()
        for room in self._rooms.values():
            if room.task is not None:
                room.task.cancel()
            # Held, or it might be collected before it has run.
            self._waking.append(asyncio.ensure_future(room.wake()))


async def _in_time(looking: Awaitable[Look]) -> Look:
    try:
        return await within(_LOOK_SECONDS, looking)
    except NotInTime:
        return Look(beat={"fault": _LATE}, fault=_LATE)


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
