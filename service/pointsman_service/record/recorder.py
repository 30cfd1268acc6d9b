"""The recorder: one leader reads what workers report and writes it down once.

The position moves by compare-and-set in the same transaction as the rows, so a replay, or an old leader that was
frozen, changes nothing. Only then is the stream trimmed and the position published, so that workers forget what they
kept.

An entry that is no event, or cannot be written down, is left out, counted with the position that passes it, and told
of: none makes those behind it wait.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pointsman_contract import keys
from pointsman_contract.events import EventKind, OutcomeBody
from pointsman_contract.failpoints import Failpoint, reach
from pointsman_contract.sealing import Sealer, is_sealed
from pointsman_contract.signing import Forged
from pointsman_service.breaker.registry import Registry
from pointsman_service.errors import ExpectedFault, Unavailable
from pointsman_service.loops import Loop
from pointsman_service.record.batch import Batch, in_parts, record
from pointsman_service.record.error_bounds import GroupBounds
from pointsman_service.record.events import LONGEST_ENTRY, Event, ForgedEvent, UnreadableEvent, parse
from pointsman_service.record.proof import REMEMBER_DAYS, Proof, Repeated
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store import changes, clock
from pointsman_service.store.store import StatementRefused, Store
from pointsman_service.store.streams import epochs, lanes, left_out
from pointsman_service.store.streams.left_out import LeftOut, Reason
from pointsman_service.store.tasks import recording
from pointsman_service.telemetry import logger
from pointsman_service.tracing import Tracing

log = logger(__name__)

_GATHER_SECONDS = 0.03
"""After a batch that was not full, let events gather: one transaction for many costs a fraction of one for each."""
_CLOCK_SECONDS = 30.0
_CLOCK_SAMPLES = 5
_BATCH_BYTES = 32 * 1024 * 1024
"""More than this is read at once only when its entries are of the usual size."""
_USUAL_BYTES = 4 * 1024
_DOUBT_SECONDS = 10.0
_LARGEST_PART = 2**64 - 1
"""Of a stream id."""


class AnotherRecorder(ExpectedFault):
    """The position moved under us: somebody else records."""


class Recorder:
    """Reads one stream at a time, the oldest epoch first."""

    def __init__(self, store: Store, server: RedisServer, settings: Settings, tracing: Tracing | None = None) -> None:
        self._store = store
        self._tracing = tracing
        self._server = server
        self._settings = settings
        self._breakers = Registry(store, settings)
        self._bounds = GroupBounds()
        self._epoch: int | None = None
        self._last_id = epochs.FIRST_ID
        self._offset_seconds = 0.0
        self._clock_at = 0.0
        self._compared = (0.0, 0.0, 0.0)
        self._listened = False
        self._proof = None if server.trust.signer is None else Proof(server.trust)
        self._sealer = settings.sealer
        self._told_of_doubt_at = float("-inf")
        self.loop = Loop("recorder", self.single_pass, settings.dispatch_interval_seconds)

    async def single_pass(self) -> bool:
        """Record one batch, or go on to the next epoch's stream; True when more is likely waiting."""
        if not await self._knows_where():
            return False
        await self._compare_clocks()
        declared, entries, too_long = await self._read()
        if too_long is not None:
            await self._leave_out(LeftOut(Reason.TOO_LONG, too_long, f"more than {LONGEST_ENTRY} bytes"))
            return True
        if entries:
            await self._record(entries)
            if len(entries) < self._settings.record_events:
                await asyncio.sleep(_GATHER_SECONDS)
            return True
        if declared is not None and self._epoch is not None and declared > self._epoch and await self._next_stream():
            return True
        await self._wait_for_events()
        return True

    async def _knows_where(self) -> bool:
        if self._epoch is not None:
            return True
        self._bounds.forget()
        async with self._store.statement() as connection:
            if self._proof is not None and self._proof.requires:
                self._proof.passed = await lanes.passed(connection, REMEMBER_DAYS)
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
        self._compared = (after, time.monotonic(), time.time())
        self._clock_at = time.monotonic() + _CLOCK_SECONDS
        # Whatever else somebody wrote there.
        await self._publish_position(self._last_id)

    def _now(self) -> float:
        """Unix seconds on the database clock. A machine that slept has moved one of its own clocks alone."""
        at, monotonic, wall = self._compared
        return at + max(time.monotonic() - monotonic, time.time() - wall)

    @property
    def _stream(self) -> str:
        assert self._epoch is not None
        return keys.events(self._epoch)

    async def _read(self) -> tuple[int | None, list[Any], str | None]:
        """The epoch declared in Redis, and after it the next entries: an older stream that is empty then stays
        empty. The id of the next one instead when it is too long to be read.
        """
        most = self._settings.record_events
        # Of the first nodes, none of which holds less than one entry.
        declared, used, length = await self._server.pipeline(
            [
                ("HGET", keys.CONTROL, "epoch"),
                ("MEMORY", "USAGE", self._stream, "SAMPLES", most),
                ("XLEN", self._stream),
            ]
        )
        epoch = int(declared) if declared is not None and declared.isdigit() else None
        if (used or 0) > max(_BATCH_BYTES, _USUAL_BYTES * length):
            tail = (self._last_id, most, _BATCH_BYTES, LONGEST_ENTRY)
            most, too_long = await self._server.script("next_size", [self._stream], [], tail)
            if too_long:
                return epoch, [], too_long.decode()
            if not most:
                return epoch, [], None
        answer = await self._server.command("XREAD", "COUNT", most, "STREAMS", self._stream, self._last_id)
        return epoch, (answer[0][1] if answer else []), None

    async def _wait_for_events(self) -> None:
        milliseconds = int(self._settings.record_wait_seconds * 1000)
        words = ("XREAD", "COUNT", 1, "BLOCK", milliseconds, "STREAMS", self._stream, self._last_id)
        if await self._server.command(*words):
            await asyncio.sleep(_GATHER_SECONDS)

    async def _next_stream(self) -> bool:
        """Go on to the next epoch that Postgres knows; False when what Redis says is not so."""
        assert self._epoch is not None
        old = self._stream
        async with self._store.transaction() as connection:
            following = await epochs.after(connection, self._epoch)
            if following is None:
                return False
            await epochs.leave(connection, old, self._last_id, keys.events(following))
        await self._server.command("DEL", old)
        self._epoch = following
        self._last_id = epochs.FIRST_ID
        log.info("the recorder reads the stream of the next epoch", epoch=self._epoch)
        return True

    async def _record(self, entries: Sequence[Any]) -> None:
        new_id = entries[-1][0].decode()
        events, unreadable = self._understood(entries)
        try:
            *before, last = in_parts(events)
            for part in before:
                end = part[-1].stream_id
                await self._write(part, end, [one for one in unreadable if _is_until(end, one)])
                unreadable = [one for one in unreadable if not _is_until(end, one)]
            await self._write(last, new_id, unreadable)
        except Exception as error:
            if not _is_of_an_entry(error):
                raise
            # Parts that were written are behind the position.
            entries = [entry for entry in entries if epochs.order(entry[0].decode()) > epochs.order(self._last_id)]
            if len(entries) > 1:
                middle = len(entries) // 2
                await self._record(entries[:middle])
                await self._record(entries[middle:])
                return
            await self._leave_out(LeftOut(Reason.REFUSED, new_id, f"{type(error).__name__}: {error}"[:300]))
            return
        await self._publish_position(new_id)

    async def _leave_out(self, entry: LeftOut) -> None:
        await self._write([], entry.stream_id, [entry])
        await self._publish_position(entry.stream_id)

    def _understood(self, entries: Sequence[Any]) -> tuple[list[Event], list[LeftOut]]:
        events, unreadable = [], []
        now = self._now()
        taken: dict[str, int] = {}
        for entry in entries:
            try:
                event = parse(entry, self._offset_seconds, now, self._proof)
                if self._sealer is not None and event.kind is EventKind.FAILED:
                    event = event._replace(plain=_plain(self._sealer, cast(OutcomeBody, event.body)))
                if event.mark is not None and self._proof is not None:
                    self._proof.take(event.mark, taken, now)
                events.append(event)
            except (ForgedEvent, Forged) as fault:
                unreadable.append(LeftOut(Reason.FORGED, entry[0].decode(), str(fault)))
            except Repeated:
                unreadable.append(LeftOut(Reason.REPEATED, entry[0].decode(), "it was written down already"))
            except UnreadableEvent as error:
                unreadable.append(LeftOut(Reason.UNREADABLE, entry[0].decode(), str(error)))
        self._tell_of_doubt()
        return events, unreadable

    def _tell_of_doubt(self) -> None:
        proof = self._proof
        if proof is None or not proof.doubted or time.monotonic() - self._told_of_doubt_at < _DOUBT_SECONDS:
            return
        self._told_of_doubt_at = time.monotonic()
        log.warning(
            "events are recorded that message_signing=require would leave out",
            entries=proof.doubted,
            reason=proof.doubt,
        )
        proof.doubted = 0

    async def _write(self, events: list[Event], new_id: str, unreadable: Sequence[LeftOut] = ()) -> None:
        if self._tracing is None:
            await self._write_once(events, new_id, unreadable)
            return
        told = ((event.task, cast(Mapping[str, Any], event.body).get("traceparent")) for event in events)
        ended = [(task, traceparent) for task, traceparent in told if traceparent]
        with self._tracing.recording(ended):
            await self._write_once(events, new_id, unreadable)

    async def _write_once(self, events: list[Event], new_id: str, unreadable: Sequence[LeftOut]) -> None:
        batch = Batch(events)
        marks = {event.mark.lane: event.mark.number for event in events if event.mark is not None}
        try:
            async with self._store.transaction() as connection:
                passed = await recording.move_position(connection, self._stream, self._last_id, new_id)
                if not passed.is_ours:
                    raise AnotherRecorder("the recorder's position moved")
                await left_out.add(connection, self._stream, unreadable)
                await lanes.pass_(connection, marks)
                await record(
                    connection,
                    batch,
                    self._breakers,
                    self._settings.unclaimed_sendings,
                    self._store.listeners,
                    self._bounds,
                )
                if passed.listened and batch.tasks:
                    await changes.tell_of_tasks(connection, batch.tasks)
                reach(Failpoint.RECORDER_RECORDING)
            reach(Failpoint.RECORDER_COMMITTED)
        except (ExpectedFault, Unavailable):
            # Whether it was committed is read back from the position.
            self._epoch = None
            raise
        self._last_id = new_id
        if self._proof is not None:
            self._proof.passed.update(marks)
        self._listened = passed.listened
        strange = [one for one in unreadable if one.reason is not Reason.REPEATED]
        for last in strange[-1:]:
            log.error(
                "events were left out: they are not what a worker reports",
                entries=len(strange),
                stream=self._stream,
                stream_id=last.stream_id,
                reason=last.detail,
            )

    async def _publish_position(self, new_id: str) -> None:
        commands: list[tuple[str | bytes | int | float, ...]] = [
            ("HSET", keys.CONTROL, "recorded", f"{self._epoch}/{new_id}"),
            ("XTRIM", self._stream, "MINID", _after(new_id)),
        ]
        if self._listened:
            commands += [
                ("XADD", keys.RECORDED, "MAXLEN", 1, "*", "to", new_id),
                ("EXPIRE", keys.RECORDED, keys.RECORDED_SECONDS),
            ]
        await self._server.pipeline(commands)


def _plain(sealer: Sealer, body: OutcomeBody) -> tuple[str, str] | None:
    error = body.get("error")
    if error is None or not is_sealed(error["message"]):
        return None
    return sealer.opened(error["message"]), sealer.opened(error["traceback"])


def _is_until(stream_id: str, entry: LeftOut) -> bool:
    return epochs.order(entry.stream_id) <= epochs.order(stream_id)


def _is_of_an_entry(error: Exception) -> bool:
    """Whether another entry may fare better: nobody is away, and the schema is ours."""
    return not isinstance(error, ExpectedFault | Unavailable | StatementRefused)


def _after(stream_id: str) -> str:
    milliseconds, sequence = epochs.order(stream_id)
    if sequence < _LARGEST_PART:
        return f"{milliseconds}-{sequence + 1}"
    return f"{min(milliseconds + 1, _LARGEST_PART)}-0"
