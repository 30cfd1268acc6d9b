"""What has left the broker's lists: they are first in, first out, so the moment their next message was sent tells."""

import time
from collections.abc import Callable, Sequence

from pointsman_contract.queues import MAX_PRIORITY, step_of
from pointsman_service.broker import Broker
from pointsman_service.store import clock
from pointsman_service.store.lost import missing
from pointsman_service.store.lost.missing import Before
from pointsman_service.store.store import Connection

_LATE_SECONDS = 15.0
"""Longer than a transaction that marks tasks sent can take to commit."""
_FROM_THE_START_SECONDS = 300.0


class Lists:
    """Where to look for sent tasks that have left their list.

    Remembers below which moment nothing is left, so that no look passes over everything that ended: while somebody
    keeps a transaction open, the index cannot forget it.
    """

    def __init__(self, broker: Broker, queues: Sequence[str], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._broker = broker
        self._queues = tuple(queues)
        self._monotonic = monotonic
        self._floors: dict[tuple[str, int], float] = {}
        self._from_the_start_at = 0.0

    async def left(self, connection: Connection, margin_seconds: float) -> list[Before]:
        """For each queue and priority the moments between which what was sent has left its list.

        A row is marked sent before its message is published, so ``margin_seconds`` is the longest that this may take:
        what was sent within it, or after the next message, is left out. So is a list whose next messages are foreign.
        """
        before = await clock.now(connection)
        broker_now, oldest = await self._broker.oldest()
        after = await clock.now(connection)
        offset = (before + after) / 2 - broker_now
        if self._monotonic() >= self._from_the_start_at:
            self._floors, self._from_the_start_at = {}, self._monotonic() + _FROM_THE_START_SECONDS
        found = []
        for place in ((queue, priority) for queue in self._queues for priority in range(MAX_PRIORITY + 1)):
            at = oldest[place[0], step_of(place[1])]
            if at is not None:
                until = min(at + offset, before) - margin_seconds
                found.append(Before(*place, self._floors.get(place, 0.0), until))
        lowest = await missing.lowest(connection, found)
        for one in found:
            nothing_below = min(lowest.get((one.queue, one.priority), before), before)
            self._floors[one.queue, one.priority] = max(0.0, nothing_below - _LATE_SECONDS)
        return found
