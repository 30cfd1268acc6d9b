"""The short window: how many messages of a queue may be on the broker.

The dispatcher computes each queue's limit from its measured service rate; every API process follows it, so that a new
submission can be published right after its commit while there is room and nothing older waits.
"""

import time

from pointsman_service.broker import Broker, BrokerAway, Depths, QueueDepth
from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.queues.shares import NOBODY_ELSE

_REFRESH_SECONDS = 0.1
_CLOSED_SECONDS = 0.3
"""How long a queue stays closed here after a task had to wait: longer than the dispatcher needs to see it."""
_SEVERAL_SECONDS = 1.0
"""How long no task waits alone here after one of another share came: longer than the dispatcher needs to see it."""
_SMOOTHING = 0.3
_RATE_SECONDS = 0.5
"""Shortest time a service rate is measured over."""


class OpenWindow:
    """What an API process may publish by itself. Refreshed ten times a second."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._initial = settings.window_initial
        self._epoch: int | None = None
        self._room: dict[str, int] = {}
        self._closed_until: dict[str, float] = {}
        self._shared: set[str] = set()
        self._sole: dict[str, tuple[str, str]] = {}
        self._several_until: dict[str, float] = {}
        self.loop = Loop("window", self.refresh, _REFRESH_SECONDS)

    def reserve(self, queue: str) -> int | None:
        """The epoch in which one more task of ``queue`` may be published now, or None: it must wait in Postgres."""
        room = self._room.get(queue, 0)
        if self._epoch is None or room <= 0:
            self._closed_until[queue] = time.monotonic() + _CLOSED_SECONDS
            return None
        self._room[queue] = room - 1
        return self._epoch

    def waits_alone(self, queue: str, caller: str, key: str) -> bool:
        """Whether a task of this share, which is to wait now, takes turns with nobody, as far as is known here: all
        that waits there is of its share, or nobody ever came with a key or named one.
        """
        share = caller, key
        sole = self._sole.get(queue)
        if sole == share:
            return True
        if sole is not None:
            # The dispatcher will see it, too, but not at once.
            del self._sole[queue]
            self._several_until[queue] = time.monotonic() + _SEVERAL_SECONDS
        elif share == NOBODY_ELSE and queue not in self._shared:
            return True
        if share != NOBODY_ELSE:
            self._shared.add(queue)
        return False

    def shut(self) -> None:
        """Let everything wait until the next refresh."""
        self._epoch = None

    async def refresh(self) -> bool:
        """Read the broker once. Raises ``BrokerAway``; everything waits then."""
        try:
            depths = await self._broker.depths()
        except BrokerAway:
            self.shut()
            self._sole.clear()
            raise
        now = time.monotonic()
        self._room = {
            queue: 0
            if depth.waiting or depth.paused or depth.broken or now < self._closed_until.get(queue, 0)
            else self._room_of(depth)
            for queue, depth in depths.queues.items()
        }
        self._epoch = depths.epoch
        self._shared.update(queue for queue, depth in depths.queues.items() if depth.shared)
        self._sole = {
            queue: depth.sole
            for queue, depth in depths.queues.items()
            if depth.sole is not None and now >= self._several_until.get(queue, 0)
        }
        return False

    def _room_of(self, depth: QueueDepth) -> int:
        return (self._initial if depth.limit is None else depth.limit) - depth.messages


class WindowLimits:
    """The dispatcher's side: limits that follow the measured service rate of each queue."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rates: dict[str, float] = {}
        self._limits: dict[str, int] = {}
        self._busy_since: dict[str, tuple[float, QueueDepth]] = {}
        self._filled: set[str] = set()
        self._epoch: int | None = None

    def limit(self, queue: str) -> int:
        """Most messages of ``queue`` on the broker."""
        return self._limits.get(queue, self._settings.window_initial)

    def filled(self, queue: str) -> None:
        """The window of ``queue`` was just filled to its limit, and more tasks wait."""
        self._filled.add(queue)

    def observe(self, depths: Depths, now: float) -> None:
        """Take one reading of the broker, ``now`` in monotonic seconds.

        A queue that was filled and ran empty before the next reading was starved: its window doubles. One that had
        work all along for half a second shows its service rate: published minus what is left.
        """
        if depths.epoch != self._epoch:
            self._epoch, self._busy_since, self._filled = depths.epoch, {}, set()
        filled, self._filled = self._filled, set()
        for queue, depth in depths.queues.items():
            if depth.messages == 0:
                self._busy_since.pop(queue, None)
                if queue in filled:
                    self._set(queue, 2 * self.limit(queue))
            else:
                self._observe_busy(queue, depth, now)

    def _observe_busy(self, queue: str, depth: QueueDepth, now: float) -> None:
        since, before = self._busy_since.setdefault(queue, (now, depth))
        if now - since < _RATE_SECONDS:
            return
        served = depth.published - before.published - (depth.messages - before.messages)
        rate = max(served, 0) / (now - since)
        old = self._rates.get(queue)
        self._rates[queue] = rate if old is None else old + _SMOOTHING * (rate - old)
        self._set(queue, int(self._rates[queue] * self._settings.window_seconds))
        self._busy_since[queue] = (now, depth)

    def _set(self, queue: str, limit: int) -> None:
        floor = 4 * max(self._settings.topology.processes(queue), 1)
        self._limits[queue] = max(floor, min(limit, self._settings.window_max))
