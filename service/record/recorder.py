"""The recorder: one leader reads what workers report and writes it down once.

The position moves by compare-and-set in the same transaction as the rows, so a replay, or an old leader that was
frozen, changes nothing. Only then is the stream trimmed and the position published, so that workers forget what they
kept.
"""

import asyncio
import time
from typing import Any

from contract import keys
from contract.failpoints import Failpoint, reach
from service.breaker.registry import Registry
from service.loops import ExpectedFault, Loop
from service.record.batch import Batch, in_parts, record
from service.record.events import Event, UnreadableEvent, parse
from service.redis import RedisServer
from service.settings import Settings
from service.store import clock, epochs, recording
from service.store.leadership import Leadership
from service.store.store import RowRefused, Store
from service.telemetry import logger

log = logger(__name__)

_GATHER_SECONDS = 0.03
"""After a batch that was not full, let events gather: one transaction for many costs a fraction of one for each."""
_CLOCK_SECONDS = 30.0
_CLOCK_SAMPLES = 5


class AnotherRecorder(ExpectedFault):
    """The position moved under us: somebody else records."""


class Recorder:
    """Reads one stream at a time, the oldest epoch first."""

    def __init__(self, store: Store, server: RedisServer, settings: Settings) -> None:
        self._store = store
        self._server = server
        self._settings = settings
        self._breakers = Registry(store, settings)
        self._leadership = Leadership(store, "recorder", settings.leader_seconds)
        self._epoch: int | None = None
        self._last_id = epochs.FIRST_ID
        self._offset_seconds = 0.0
        self._clock_at = 0.0
        self.loop = Loop("recorder", self.single_pass, settings.dispatch_interval_seconds)

    async def single_pass(self) -> bool:
        """Record one batch, or go on to the next epoch's stream; True when more is likely waiting."""
        if not await self._leadership.leads():
            self._epoch = None
            return False
        if not await self._knows_where():
            return False
        await self._compare_clocks()
        declared, entries = await self._read()
        if entries:
            await self._record(entries)
            if len(entries) < self._settings.record_events:
                await asyncio.sleep(_GATHER_SECONDS)
            return True
        if declared is not None and self._epoch is not None and declared > self._epoch:
            await self._next_stream()
            return True
        await self._wait_for_events()
        return True

    async def give_up(self) -> None:
        """Let another recorder lead at once."""
        await self._leadership.give_up()

    async def _knows_where(self) -> bool:
        if self._epoch is not None:
            return True
        async with self._store.statement() as connection:
            found = await epochs.positions(connection)
            current = await epochs.current(connection)
            if not found and current is not None:
                await epochs.start_reading(connection, keys.events(current.epoch))
                found = await epochs.positions(connection)
        if not found:
            return False
        self._epoch = min(int(stream.removeprefix(keys.EVENTS_PREFIX)) for stream in found)
        self._last_id = found[keys.events(self._epoch)]
        return True

    async def _compare_clocks(self) -> None:
        """Workers stamp events with the Redis clock; rows live on the database's."""
        if time.monotonic() < self._clock_at:
            return
        samples = []
        async with self._store.statement() as connection:
            for _ in range(_CLOCK_SAMPLES):
                before = await clock.now(connection)
                seconds, micros = await self._server.command("TIME")
                after = await clock.now(connection)
                samples.append((after - before, (before + after) / 2 - (int(seconds) + int(micros) / 1e6)))
        # The quickest exchange has the least room for error.
        self._offset_seconds = min(samples)[1]
        self._clock_at = time.monotonic() + _CLOCK_SECONDS

    @property
    def _stream(self) -> str:
        assert self._epoch is not None
        return keys.events(self._epoch)

    async def _read(self) -> tuple[int | None, list[Any]]:
        """The epoch declared in Redis, and after it the next entries: an older stream that is empty then stays
        empty.
        """
        most = self._settings.record_events
        declared, answer = await self._server.pipeline(
            [
                ("HGET", keys.CONTROL, "epoch"),
                ("XREAD", "COUNT", most, "STREAMS", self._stream, self._last_id),
            ]
        )
        return (None if declared is None else int(declared)), (answer[0][1] if answer else [])

    async def _wait_for_events(self) -> None:
        milliseconds = int(self._settings.record_wait_seconds * 1000)
        words = ("XREAD", "COUNT", 1, "BLOCK", milliseconds, "STREAMS", self._stream, self._last_id)
        if await self._server.command(*words):
            await asyncio.sleep(_GATHER_SECONDS)

    async def _next_stream(self) -> None:
        assert self._epoch is not None
        old = self._stream
        async with self._store.transaction() as connection:
            await epochs.leave(connection, old, self._last_id, keys.events(self._epoch + 1))
        await self._server.command("DEL", old)
        self._epoch += 1
        self._last_id = epochs.FIRST_ID
        log.info("the recorder reads the stream of the next epoch", epoch=self._epoch)

    async def _record(self, entries: list[Any]) -> None:
        new_id = entries[-1][0].decode()
        try:
            *before, last = in_parts(self._understood(entries))
            for part in before:
                await self._write(part, part[-1].stream_id)
            await self._write(last, new_id)
        except (RowRefused, UnreadableEvent) as error:
            # Parts that were written are behind the position.
            entries = [entry for entry in entries if epochs.order(entry[0].decode()) > epochs.order(self._last_id)]
            if len(entries) > 1:
                middle = len(entries) // 2
                await self._record(entries[:middle])
                await self._record(entries[middle:])
                return
            log.error("an event cannot be recorded and is left out", stream_id=new_id, reason=str(error))
            await self._write([], new_id)
        await self._publish_position(new_id)

    def _understood(self, entries: list[Any]) -> list[Event]:
        events = []
        for entry in entries:
            try:
                events.append(parse(entry, self._offset_seconds))
            except UnreadableEvent as error:
                log.error("an event cannot be read and is left out", stream_id=entry[0].decode(), reason=str(error))
        return events

    async def _write(self, events: list[Event], new_id: str) -> None:
        batch = Batch(events, self._offset_seconds)
        try:
            async with self._store.transaction() as connection:
                if not await recording.move_position(connection, self._stream, self._last_id, new_id):
                    raise AnotherRecorder("the recorder's position moved")
                await record(connection, batch, self._breakers)
                reach(Failpoint.RECORDER_RECORDING)
            reach(Failpoint.RECORDER_COMMITTED)
        except RowRefused:
            raise
        except ExpectedFault:
            # Whether it was committed is read back from the position.
            self._epoch = None
            raise
        self._last_id = new_id

    async def _publish_position(self, new_id: str) -> None:
        await self._server.pipeline(
            [
                ("HSET", keys.CONTROL, "recorded", f"{self._epoch}/{new_id}"),
                ("XTRIM", self._stream, "MINID", _after(new_id)),
            ]
        )


def _after(stream_id: str) -> str:
    milliseconds, _, sequence = stream_id.partition("-")
    return f"{milliseconds}-{int(sequence) + 1}"
