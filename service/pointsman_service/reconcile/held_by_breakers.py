"""The sweep ``holding``: tasks that a circuit breaker holds go on when it lets them.

Level-triggered: a task is let go because it is held by a breaker that holds nobody, however that came. A half-open
breaker leases its permits to the most urgent of them; Redis knows of a permit before the task that has it is sent. On
closing the rest follows at a ramp. Task types that fail fast end instead.

That of a task type tries tasks that have not failed, those that are least like the ones that did, and when it closes
because only some inputs are bad, tasks unlike these go on at once.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from pointsman_contract.errors import ErrorType
from pointsman_contract.states import TaskState
from pointsman_service.breaker.breaker import BreakerState, Step
from pointsman_service.breaker.entry import Entry
from pointsman_service.breaker.of_task_type import TaskTypeBreaker
from pointsman_service.breaker.registry import Choose, Registry
from pointsman_service.breaker.snapshot import Snapshot
from pointsman_service.claims.closing import Closer
from pointsman_service.loops import Loop
from pointsman_service.reconcile.ramp import Ramp
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store import clock
from pointsman_service.store.breakers.breakers import Key
from pointsman_service.store.queues import holding, probing
from pointsman_service.store.store import Connection, Store
from pointsman_service.store.streams import epochs
from pointsman_service.store.tasks.ending import end_unstarted
from pointsman_service.store.workers import catalogue
from pointsman_service.telemetry import logger

log = logger(__name__)

_INTERVAL_SECONDS = 0.25
_TASKS_A_PASS = 500
_TYPES_SECONDS = 2.0
_FAIL_FAST_SECONDS = 1.0
_PASSING = (BreakerState.CLOSED, BreakerState.DISABLED)


class HoldingSweep:
    """Safe in every process: permits are leased under the lock of the breaker's row, and what is let go too early the
    dispatcher and the gate hold again. Dying at any line leaves tasks held, or waiting to be sent.
    """

    def __init__(self, store: Store, server: RedisServer, settings: Settings) -> None:
        self._store = store
        self._registry = Registry(store, settings)
        self._snapshot = Snapshot(store, server, settings)
        self._closer = Closer(store, server)
        self._dead_seconds = settings.worker_dead_seconds
        self._ramps: dict[Key, Ramp] = {}
        self._fail_fast_types: list[str] = []
        self._types_read_at = float("-inf")
        self._fail_fast_at = float("-inf")
        self.loop = Loop("holding sweep", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Tell Redis what the breakers are, and let go what may go, up to 500 tasks of each breaker."""
        entries = await self._snapshot.push()
        if any(entry.breaker.seen is BreakerState.HALF_OPEN for entry in entries):
            await self._renew()
        async with self._store.statement() as connection:
            holders = await holding.breakers_with_tasks(connection)
        self._ramps = {key: ramp for key, ramp in self._ramps.items() if key in holders}
        if not holders:
            return False
        holding_now = await self._registry.find_all(holders)
        holding_now |= await self._probe([entry for entry in holding_now.values() if await self._may_be_probed(entry)])
        await self._fail_fast([entry for entry in holding_now.values() if _is_sure(entry)])
        for key in holders:
            entry = holding_now.get(key)
            if entry is None or entry.breaker.seen in _PASSING:
                await self._let_go(key, entry)
            else:
                self._ramps.pop(key, None)
        return False

    async def _let_go(self, key: Key, entry: Entry | None) -> None:
        if entry is not None and isinstance(entry.breaker, TaskTypeBreaker) and entry.breaker.is_mistaken:
            async with self._store.statement() as connection:
                others = await probing.release_others(connection, key, _tasks(entry.breaker.accused), _TASKS_A_PASS)
            if others:
                log.info("tasks unlike those that failed are held no longer", breaker=":".join(key), tasks=others)
        now = time.monotonic()
        ramp = self._ramps.setdefault(key, Ramp(now))
        policy = self._registry.default_policy if entry is None else entry.policy
        room = min(ramp.room(policy, now), _TASKS_A_PASS)
        if room == 0:
            return
        async with self._store.statement() as connection:
            released = await holding.release(connection, key, room)
        ramp.let_go(released)
        if released:
            log.info("tasks are held by a circuit breaker no longer", breaker=":".join(key), tasks=released)

    async def _probe(self, entries: Sequence[Entry]) -> dict[Key, Entry]:
        leased = {entry.key: await self._lease(entry) for entry in entries}
        for key, entry in leased.items():
            if entry.breaker.seen in _PASSING:
                # What is known to be bad comes slowly again: else it would take the processes from the rest.
                self._ramps.pop(key, None)
        if any(entry.breaker.permits or entry.breaker.seen in _PASSING for entry in leased.values()):
            # The gate must know a permit before it meets the message.
            await self._snapshot.push()
        for key, entry in leased.items():
            async with self._store.statement() as connection:
                sent = await holding.let_probes_go(connection, key, _tasks(tuple(entry.breaker.permits)))
            if sent:
                log.info("probes of a circuit breaker are sent", breaker=":".join(key), tasks=len(sent))
        return leased

    async def _may_be_probed(self, entry: Entry) -> bool:
        breaker = entry.breaker
        if not isinstance(breaker, TaskTypeBreaker) or not breaker.may_doubt(entry.policy):
            return breaker.seen is BreakerState.HALF_OPEN
        # It is open: without anybody to try there is nothing to lock its row for.
        async with self._store.statement() as connection:
            return bool(await _chooser(self._dead_seconds)(connection, entry, 1))

    async def _lease(self, entry: Entry) -> Entry:
        if len(entry.breaker.permits) >= entry.policy.half_open_permits:
            return entry
        async with self._store.statement() as connection:
            await holding.pass_on(connection, entry.key)
        return await self._registry.lease_probes(entry.key, _chooser(self._dead_seconds), _recognise)

    async def _renew(self) -> None:
        """A permit lasts while its task runs, however long that takes: what comes of it must count."""
        async with self._store.statement() as connection:
            found = await holding.running_probes(connection, self._registry.default_policy.permit_seconds)
            lost = await holding.lost_probes(connection)
        for key, permits in found.items():
            await self._registry.change(key, _renewal(permits))
        for key, permits in lost.items():
            # Others are tried in their place, however long a permit lasts.
            await self._registry.change(key, _return(permits))

    async def _fail_fast(self, entries: Sequence[Entry]) -> None:
        # They are looked for among all that are held, which may be many.
        if not entries or time.monotonic() < self._fail_fast_at:
            return
        self._fail_fast_at = time.monotonic() + _FAIL_FAST_SECONDS
        task_types = await self._which_fail_fast()
        if not task_types:
            return
        async with self._store.statement() as connection:
            epoch = await epochs.current(connection)
            now = datetime.fromtimestamp(await clock.now(connection), UTC)
        for entry in entries:
            spared = _tasks(tuple(entry.breaker.permits))
            async with self._store.statement() as connection:
                found = await holding.held_of(connection, entry.key, task_types, spared, _TASKS_A_PASS)
            never_sent = [task.id for task in found if task.never_sent]
            sent = {task.id: task.attempt for task in found if not task.never_sent}
            closed = await self._closer.close(sent, epoch.epoch, TaskState.FAILED) if epoch is not None else []
            if not never_sent and not closed:
                continue
            breaker = ":".join(entry.key)
            words = f"the circuit breaker {breaker} is {entry.breaker.seen}, and the task type fails fast"
            async with self._store.transaction() as connection:
                error = (ErrorType.FAILED_FAST, words)
                ended = await end_unstarted(
                    connection, self._store.listeners, never_sent, closed, TaskState.FAILED, now, error
                )
            log.info("tasks failed at once instead of being held", breaker=breaker, tasks=ended)

    async def _which_fail_fast(self) -> list[str]:
        if time.monotonic() - self._types_read_at > _TYPES_SECONDS:
            async with self._store.statement() as connection:
                self._fail_fast_types = await catalogue.fail_fast_types(connection)
            self._types_read_at = time.monotonic()
        return self._fail_fast_types


def _chooser(dead_seconds: float) -> Choose:
    async def choose(connection: Connection, entry: Entry, most: int) -> list[str]:
        breaker = entry.breaker
        have = _tasks(tuple(breaker.permits))
        if not isinstance(breaker, TaskTypeBreaker):
            return await holding.choose_probes(connection, entry.key, most, have, dead_seconds)
        wanted = probing.Wanted(
            _tasks(breaker.accused), any_may=breaker.takes_any, only_others=breaker.wants_others(entry.policy)
        )
        return await probing.choose_probes(connection, entry.key, most, have, dead_seconds, wanted)

    return choose


async def _recognise(connection: Connection, breaker: TaskTypeBreaker) -> bool:
    return await probing.are_known(
        connection, _tasks(breaker.bad), _tasks(breaker.well), accused=_tasks(breaker.accused)
    )


def _is_sure(entry: Entry) -> bool:
    """Whether it holds tasks for more than a doubt: then those end that are not to be held."""
    if isinstance(entry.breaker, TaskTypeBreaker) and entry.breaker.is_first_doubt:
        return False
    return entry.breaker.seen not in _PASSING


def _renewal(permits: Sequence[str]) -> Callable[[Entry, float], Step]:
    return lambda entry, now: entry.breaker.renew(permits, entry.policy, now)


def _return(permits: Sequence[str]) -> Callable[[Entry, float], Step]:
    return lambda entry, now: entry.breaker.give_back(permits, now)


def _tasks(permits: Sequence[str]) -> list[str]:
    """The tasks that permits name: other services lease some too."""
    found = []
    for permit in permits:
        try:
            found.append(str(UUID(permit)))
        except ValueError:
            continue
    return found
