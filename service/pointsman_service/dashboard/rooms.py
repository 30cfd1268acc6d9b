"""Those who look at one page, and what it was last: rendered once for all of them, and written once, too."""

import asyncio
import hashlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fastapi.sse import format_sse_event
from pydantic_core import to_json

from pointsman_service.callers import Caller
from pointsman_service.dashboard.components.moments import machine
from pointsman_service.dashboard.page import Pace
from pointsman_service.live.topics import Topic

_LATER = 4.0
"""So many times as long as before is waited after a look that found the page as it was."""
_SETTLE_SECONDS = 2.0
"""After the last change comes one more look: some of what is shown is counted a moment after it, or was kept."""
_AGAIN_SECONDS = 3.0
"""After a look that failed, or lacked what a server that is away would have told."""
_BUSY_SECONDS = 15.0
"""So long after it last heard of a change a page counts as one that is looked at again and again."""


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
    def is_whole(self) -> bool:
        """Whether nothing was away that it shows. Of what comes back no topic tells."""
        return self.fault is None and not self.beat.get("missing")

    @property
    def mark(self) -> str:
        """The same for the same content."""
        return mark_of(self.fragments)


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
    """One page, looked at with the same rights. Whoever looks keeps to its ``pace``."""

    def __init__(self, key: Key, pace: Pace) -> None:
        self.key = key
        self.pace = pace
        self.listeners = 0
        self.looked = 0
        """How often."""
        self.cost = 0.0
        """What a look takes this process, in seconds of CPU, about."""
        self._pause = pace.every_seconds
        self.heard_at = float("-inf")
        """When something that it shows changed last, monotonic."""
        self.woken = asyncio.Event()
        """Something has changed since the last look began, or somebody came."""
        self.task: asyncio.Task[None] | None = None
        self._look: Look | None = None
        self._told = 0
        self._beat = b""
        self._written: dict[object, bytes] = {}
        self._changed = asyncio.Condition()

    @property
    def told(self) -> int:
        """How often its listeners were told anything."""
        return self._told

    def hear(self, topics: Collection[Topic]) -> None:
        """Something of these changed."""
        if not self.pace.topics.isdisjoint(topics):
            self.heard_at = time.monotonic()
            self._pause = self.pace.every_seconds
            self.woken.set()

    def is_busy(self, now: float) -> bool:
        """Whether changes make it look again and again."""
        return now - self.heard_at < _BUSY_SECONDS

    def due_at(self, looked_at: float) -> float:
        """When to look again after a look that began then, if nothing changes."""
        settled_at = self.heard_at + _SETTLE_SECONDS
        due = looked_at + (self._pause if self._look is None or self._look.is_whole else _AGAIN_SECONDS)
        return min(due, settled_at) if looked_at < settled_at else due

    async def show(self, look: Look) -> None:
        """To everybody in it."""
        before, self._look = self._look, look
        if before is not None and look.is_whole and before.fragments == look.fragments:
            self._pause = min(self._pause * _LATER, self.pace.most_seconds)
        self.looked += 1
        self._written.clear()
        await self._tell()

    async def tell_again(self, age: float) -> None:
        """Nothing had changed so many seconds ago since it was looked at."""
        if self._look is not None and self._look.fault is None:
            await self._tell(age)

    async def wait(self, told: int, is_over: asyncio.Event) -> None:
        """Until its listeners are told something more often than ``told`` times, or it is over."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._told != told or is_over.is_set())

    async def wake(self) -> None:
        """Let everybody see that it is over."""
        async with self._changed:
            self._changed.notify_all()

    def message(self, has: Look | None, seen: str) -> tuple[bytes, Look | None]:
        """What is sent to one who ``has`` a look, or none and what has the mark ``seen``; and what it has then."""
        look = self._look
        if look is None or look.fault is not None:
            return self._beat, has
        if has is look:
            return self._beat, look
        name = seen if has is None else id(has)
        written = self._written.get(name)
        if written is None:
            written = self._written[name] = _news(look, has, seen)
        return written + self._beat, look

    async def _tell(self, age: float = 0.0) -> None:
        assert self._look is not None
        beat = {**self._look.beat, "at": machine(datetime.now(UTC)), "age": round(age, 2)}
        self._beat = format_sse_event(data_str=to_json(beat).decode(), event="beat")
        self._told += 1
        async with self._changed:
            self._changed.notify_all()


def _news(look: Look, has: Look | None, seen: str) -> bytes:
    if has is None and look.mark == seen:
        return b""
    known = {} if has is None else has.fragments
    fresh = {name: content for name, content in look.fragments.items() if known.get(name) != content}
    return format_sse_event(data_str=partials(fresh), id=look.mark) if fresh else b""
