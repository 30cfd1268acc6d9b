"""The notifier: delivers the messages that are due, again and again, for a day. Never through Celery.

Safe in every process: a message is leased while it is on its way. A process that dies meanwhile is replaced when the
lease is over, so that a message arrives at least once; its id is the same every time.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable

from pointsman_contract.backoff import backoff_seconds
from pointsman_service.alert.channels import Channels
from pointsman_service.alert.delivering import NotDelivered
from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.alerts import deliveries
from pointsman_service.store.alerts.deliveries import DeliveryRow
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_INTERVAL_SECONDS = 0.5
_IDLE_INTERVAL_SECONDS = 10.0
"""Without a channel there are only messages to be dropped."""
_MOST_UNDER_WAY = 16
_MOST_OF_ONE_CHANNEL = 4
"""Of those: a channel that does not answer must not hold up the others."""
_LEASE_SECONDS = 60.0
"""Longer than any attempt may take."""
_FIRST_DELAY_SECONDS = 5.0
_LONGEST_DELAY_SECONDS = 3600.0
_SHORTEST_DELAY_SECONDS = 1.0
_STOP_SECONDS = 5.0


class Notifier:
    """The deliveries of one process."""

    def __init__(
        self, store: Store, channels: Channels, settings: Settings, draw: Callable[[], float] = random.random
    ) -> None:
        self._store = store
        self._channels = channels
        self._give_up_seconds = settings.alert_give_up_seconds
        self._draw = draw
        self._under_way: dict[asyncio.Task[None], str] = {}
        self._left_alone: dict[str, float] = {}
        """Channels whose receiver wants to be left alone, and until when on the monotonic clock."""
        interval = _INTERVAL_SECONDS if channels.by_name else _IDLE_INTERVAL_SECONDS
        self.loop = Loop("notifier", self.single_pass, interval)

    async def single_pass(self) -> bool:
        """Send on their way as many messages as there is room for; does not wait for them. True: there may be more.

        Raises what the store raised while a message of an earlier pass was written down.
        """
        self._look_at_ended()
        room = _MOST_UNDER_WAY - len(self._under_way)
        if room <= 0:
            return False
        now = time.monotonic()
        self._left_alone = {name: until for name, until in self._left_alone.items() if until > now}
        busy = [name for name, n in Counter(self._under_way.values()).items() if n >= _MOST_OF_ONE_CHANNEL]
        busy += self._left_alone
        most = min(room, _MOST_OF_ONE_CHANNEL)
        async with self._store.statement() as connection:
            rows = await deliveries.take(connection, most, _LEASE_SECONDS, busy)
        for row in rows:
            self._under_way[asyncio.create_task(self._deliver(row), name=f"alert to {row.channel}")] = row.channel
        return len(rows) == most

    async def settle(self) -> None:
        """Return once nothing is under way. Raises what ``single_pass`` would."""
        while self._under_way:
            await asyncio.wait(self._under_way)
            self._look_at_ended()

    async def give_up(self) -> None:
        """End what is under way: in five seconds by itself, or another process does it when the lease is over."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=_STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            self._under_way.clear()

    def _look_at_ended(self) -> None:
        ended = [task for task in self._under_way if task.done()]
        for task in ended:
            del self._under_way[task]
        # Each is asked, or asyncio complains of those that were not.
        failed = [error for task in ended if (error := task.exception()) is not None]
        if failed:
            raise failed[0]

    async def _deliver(self, row: DeliveryRow) -> None:
        if row.channel not in self._channels.by_name:
            await self._end(row, "dropped", "no such channel", "the channel is not configured any more")
            log.warning("a message about an alert is dropped: its channel is gone", channel=row.channel)
            return
        try:
            done = await self._channels.deliver(row.channel, str(row.id), row.created_at, row.message)
        except NotDelivered as error:
            await self._failed(row, error)
            return
        await self._end(row, "sent", done.status, done.note)

    async def _failed(self, row: DeliveryRow, error: NotDelivered) -> None:
        if row.age_seconds >= self._give_up_seconds:
            await self._end(row, "gave_up", error.status, error.reason)
            log.error(
                "a message about an alert was given up",
                channel=row.channel,
                alert=row.message.get("key"),
                attempts=row.attempts,
                reason=error.reason,
            )
            return
        # A receiver may ask for more than the time there is: then the last attempt comes at its end.
        asked = min(error.retry_after_seconds, self._give_up_seconds - row.age_seconds)
        if asked > 0:
            self._left_alone[row.channel] = time.monotonic() + asked
        delay = max(asked, self.delay_after(row.attempts))
        async with self._store.statement() as connection:
            await deliveries.try_later(connection, row.id, delay, error.status, error.reason)
        if row.attempts.bit_count() == 1:
            log.warning(
                "a message about an alert was not delivered, trying again",
                channel=row.channel,
                alert=row.message.get("key"),
                attempts=row.attempts,
                reason=error.reason,
            )

    async def _end(self, row: DeliveryRow, status: str, last_status: str, error: str | None) -> None:
        async with self._store.statement() as connection:
            await deliveries.end(connection, row.id, status, last_status, error)

    def delay_after(self, attempts: int) -> float:
        """Seconds until the next attempt: full jitter under a bound that doubles up to an hour, at least one."""
        drawn = backoff_seconds(
            attempts, base=_FIRST_DELAY_SECONDS, cap=_LONGEST_DELAY_SECONDS, jitter=1, draw=self._draw
        )
        return max(_SHORTEST_DELAY_SECONDS, drawn)
