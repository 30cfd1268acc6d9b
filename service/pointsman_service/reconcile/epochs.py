"""The sweep ``epoch``: when Redis is another server than before (restart, failover, restored snapshot, flush), its data
belongs to a new epoch, and everything unfinished that it held is put back from Postgres.

1. The next number is committed in Postgres, then declared in Redis. Gate and publish are shut.
2. Census: living workers append the outcomes they keep and say what they run; those claims are restored.
3. The recorder passes the stream's tail.
4. Every task that was sent before and does not run waits for the dispatcher, who sends the most urgent first.
5. The epoch opens.

Dying at any line is mended by the next pass: each step may be done twice.
"""

import time

from pointsman_contract import keys
from pointsman_contract.events import Beat, RunningAttempt
from pointsman_contract.failpoints import Failpoint, reach
from pointsman_contract.message import VERSION
from pointsman_service.breaker.snapshot import Snapshot
from pointsman_service.claims.tail import Tail
from pointsman_service.fleet.beats import read_beats
from pointsman_service.loops import Loop
from pointsman_service.redis import RedisServer, ScriptCall
from pointsman_service.settings import Settings
from pointsman_service.store.queues import pausing
from pointsman_service.store.store import Store
from pointsman_service.store.streams import epochs
from pointsman_service.store.streams.epochs import Epoch
from pointsman_service.store.workers import parents
from pointsman_service.telemetry import logger

log = logger(__name__)

_TASKS_A_STATEMENT = 5000
_RECENT_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_AHEAD_MILLISECONDS = 86_400_000
_DIGITS = 10
_MOST_AHEAD = 1_000_000
"""Postgres may have been restored to an older state, and Redis be ahead of it, but not by so much."""


class EpochSweep:
    """A pass does the next step of whatever is under way. Safe in every process: a number is declared once, and each
    step names the one it is of.
    """

    def __init__(self, store: Store, server: RedisServer, settings: Settings) -> None:
        self._store = store
        self._server = server
        self._breakers = Snapshot(store, server, settings)
        self._census_seconds = settings.census_seconds
        self._counters: dict[str, int] = {}
        self._running: dict[str, RunningAttempt] = {}
        self._answered: set[str] = set()
        self._census_of = 0
        self._look_at = float("-inf")
        self.loop = Loop("epoch sweep", self.single_pass, min(0.2, settings.census_seconds / 4))

    async def single_pass(self) -> bool:
        """Look at the server, and take one step if its epoch is not open. True while a step follows at once."""
        run_id = await self._server.run_id()
        declared, declared_on, is_open, contract = await self._server.command(
            "HMGET", keys.CONTROL, "epoch", "run_id", "open", "contract"
        )
        async with self._store.statement() as connection:
            current = await epochs.current(connection)
        is_writable = await self._is_writable(current)
        stands = current is not None and (declared, declared_on) == (str(current.epoch).encode(), run_id.encode())
        if current is None or not stands or current.run_id != run_id or not is_writable:
            await self._declare(current, run_id, declared)
            return True
        if contract != str(VERSION).encode():
            await self._server.command("HSET", keys.CONTROL, "contract", VERSION)
        if current.opened_at is None:
            return await self._census(current)
        if is_open != b"1":
            await self._open(current)
        return False

    async def _declare(self, current: Epoch | None, run_id: str, declared: bytes | None) -> None:
        if current is not None and current.run_id == run_id and current.opened_at is None and declared is None:
            # Committed, and this process or the one before died before Redis knew.
            number = current.epoch
        else:
            before = current.epoch if current else 0
            number = max(before, _epoch(declared, before)) + 1
            async with self._store.transaction() as connection:
                if not await epochs.declare(connection, number, run_id):
                    return
                if current is None:
                    await epochs.start_reading(connection, keys.events(number))
        reach(Failpoint.EPOCH_COMMITTED)
        nonsense = declared if declared is not None and not _epoch(declared, number) else b""
        await self._server.script("declare", [keys.CONTROL], [number], [nonsense])
        reach(Failpoint.EPOCH_DECLARED)
        log.info(
            "Redis is another server than before: a new epoch begins" if current else "the first epoch begins",
            epoch=number,
        )

    async def _is_writable(self, current: Epoch | None) -> bool:
        """Whether the workers can append to the stream of the epoch, and the recorder read what is left of others.
        Looked at once a second.
        """
        if current is None or time.monotonic() < self._look_at:
            return True
        self._look_at = time.monotonic() + _LOOK_SECONDS
        async with self._store.statement() as connection:
            streams = {keys.events(current.epoch), *await epochs.positions(connection)}
        writable = True
        for stream in sorted(streams):
            kind, milliseconds, now = await self._server.script("stream_state", [stream], [], [])
            if kind not in (b"stream", b"none") and await self._server.script("retype", [stream], [], ["stream"]):
                log.error("a key of ours was of another type and is made anew", key=stream, must_be="stream")
            elif int(milliseconds) <= int(now) + _AHEAD_MILLISECONDS:
                continue
            else:
                log.error("an event stream is at an id of the future: soon there is no later one", stream=stream)
            writable = writable and stream != keys.events(current.epoch)
        return writable

    async def _census(self, current: Epoch) -> bool:
        if self._census_of != current.epoch:
            self._census_of, self._counters, self._running, self._answered = current.epoch, {}, {}, set()
        beats = await read_beats(self._server)
        for owner, beat in beats.items():
            if self._lives(owner, beat, current.epoch):
                self._running |= {attempt["task"]: attempt for attempt in beat["running"]}
                if beat["epoch"] == current.epoch:
                    self._answered.add(owner)
                await self._restore(current, owner, beat["running"])
        async with self._store.statement() as connection:
            expected = await parents.seen_within(connection, _RECENT_SECONDS + current.age_seconds)
        # A worker nobody saw lately may beat all the same; a beat left over from a snapshot costs the census its time.
        if current.age_seconds < self._census_seconds and (expected | beats.keys()) - self._answered:
            return False
        if not await (await Tail.now(self._server, current.epoch)).is_recorded(self._store):
            return False
        moved = await self._send_again(current.epoch)
        reach(Failpoint.EPOCH_SENT_AGAIN)
        async with self._store.statement() as connection:
            await epochs.mark_open(connection, current.epoch)
        reach(Failpoint.EPOCH_OPENED)
        await self._open(current)
        log.info(
            "the epoch is open",
            epoch=current.epoch,
            workers=len(self._answered),
            running=len(self._running),
            sent_again=moved,
        )
        return False

    def _lives(self, owner: str, beat: Beat, epoch: int) -> bool:
        """A beat may be left over from a snapshot: it counts when it knows this epoch, or moves."""
        before = self._counters.setdefault(owner, beat["counter"])
        return beat["epoch"] == epoch or beat["counter"] > before

    async def _restore(self, current: Epoch, owner: str, running: list[RunningAttempt]) -> None:
        calls: list[ScriptCall] = [
            (
                [keys.CONTROL, keys.claim(attempt["task"])],
                [current.epoch],
                [attempt["attempt"], attempt["token"], owner],
            )
            for attempt in running
        ]
        if calls:
            await self._server.scripts("restore", calls)

    async def _send_again(self, epoch: int) -> int:
        moved = 0
        while True:
            async with self._store.transaction() as connection:
                found, part = await epochs.send_again(connection, epoch, list(self._running), _TASKS_A_STATEMENT)
            moved += part
            if found < _TASKS_A_STATEMENT:
                return moved

    async def _open(self, current: Epoch) -> None:
        # Nothing of a paused queue may start in between, and nothing that a circuit breaker holds.
        await self._breakers.push()
        async with self._store.statement() as connection:
            pauses = pausing.words(await pausing.pauses(connection))
        await self._server.script("open", [keys.CONTROL], [current.epoch], pauses)


def _epoch(declared: bytes | None, known: int) -> int:
    """The epoch that Redis names, 0 for what cannot be one."""
    if declared is None or not declared.isdigit() or len(declared) > _DIGITS:
        return 0
    epoch = int(declared)
    return epoch if epoch <= known + _MOST_AHEAD else 0
