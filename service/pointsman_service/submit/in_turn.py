"""How many tasks have their turn before one more of a caller: asked where callers take turns, and for nobody whom the
whole queue would let start in time.

One question is under way at a time in each process, and what it came to holds for half a second. Where it is not known,
or so many want to know that they would wait for it, the whole queue is gone by.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from pointsman_service.errors import DatabaseAway, ExpectedFault
from pointsman_service.store.queues.shares import Share

_KEPT_SECONDS = 0.5
_MOST_KEPT = 1_000
_MOST_WAITING = 20

Read = Callable[[str, int, Share], Awaitable[int | None]]


class InTurn:
    """Of one API process."""

    def __init__(self, read: Read, clock: Callable[[], float] = time.monotonic) -> None:
        """``read``: the figure of a queue, a priority and a share, asked now; None where nobody takes turns there."""
        self._read = read
        self._clock = clock
        self._kept: dict[tuple[str, int, Share], tuple[float, int | None]] = {}
        self._asking = asyncio.Lock()
        self._waiting = 0

    async def before(self, queue: str, priority: int, share: Share) -> int | None:
        """So many, without head starts; None: all that wait in the queue count."""
        asked = (queue, priority, share)
        if not self._is_fresh(asked):
            if self._waiting >= _MOST_WAITING:
                return None
            self._waiting += 1
            try:
                async with self._asking:
                    if not self._is_fresh(asked):
                        await self._ask(asked)
            except (DatabaseAway, ExpectedFault):
                # A database that does not answer refuses the submission itself.
                return None
            finally:
                self._waiting -= 1
        return self._kept[asked][1]

    async def _ask(self, asked: tuple[str, int, Share]) -> None:
        found = await self._read(*asked)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[asked] = (self._clock(), found)

    def _is_fresh(self, asked: tuple[str, int, Share]) -> bool:
        at, _ = self._kept.get(asked, (float("-inf"), None))
        return self._clock() - at <= _KEPT_SECONDS
