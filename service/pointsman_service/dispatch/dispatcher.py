"""The dispatcher: keeps each queue's window full from what waits in Postgres, most urgent first. One leads."""

import time
from collections.abc import Mapping, Sequence

from pointsman_contract.failpoints import Failpoint, reach
from pointsman_service.broker import Broker, Envelope, StatedWindow
from pointsman_service.dispatch.publisher import Publisher
from pointsman_service.dispatch.turn_taking import TurnTaking
from pointsman_service.dispatch.window import WindowLimits
from pointsman_service.fleet.serving import ServingView
from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.queues import dispatching, holding, pausing, quarantine
from pointsman_service.store.queues.unserved import hold_unpublished, hold_waiting
from pointsman_service.store.store import Store
from pointsman_service.store.tasks.submitting import drop_published
from pointsman_service.telemetry import logger

log = logger(__name__)

_TASKS_A_QUEUE = 500
"""Most tasks of one queue in one pass, so that a more urgent queue is looked at again soon."""
_HELD_A_QUEUE = 500
"""While a circuit breaker holds tasks, so many more are looked at than there is room for."""
_UNSERVED_LOOKED_AT = 5000
"""Where a task of a type that no worker knows waits, so many behind it are looked at."""
_MEMORY_SECONDS = 1.0


class Dispatcher:
    """Tops up the broker. Dying at any line loses nothing: a task is either waiting, or in an outbox row, or
    published. Two at once send each task once, and at most a window too much.
    """

    def __init__(self, store: Store, broker: Broker, publisher: Publisher, settings: Settings) -> None:
        self._store = store
        self._broker = broker
        self._publisher = publisher
        self._settings = settings
        self._limits = WindowLimits(settings)
        self._queues = [spec.name for spec in sorted(settings.topology.queues, key=lambda spec: -spec.priority)]
        self._measure_memory_at = 0.0
        self._stated: dict[str, StatedWindow] = {}
        self._serving = ServingView(store, settings)
        self._turn_taking = TurnTaking(store, broker, settings, self._deliver)
        self.loop = Loop("dispatcher", self.single_pass, settings.dispatch_interval_seconds)

    async def single_pass(self) -> bool:
        """Fill every queue's window once; True when there was more than one pass could send."""
        now = time.monotonic()
        if now >= self._measure_memory_at:
            await self._broker.measure_memory()
            await self._publish_pauses()
            await self._serving.single_pass()
            self._measure_memory_at = now + _MEMORY_SECONDS
        depths = await self._broker.depths()
        if depths.memory_percent >= self._settings.dispatch_memory_percent:
            # Full memory refuses every write, ours too.
            return False
        async with self._store.statement() as connection:
            waiting = await dispatching.waiting_queues(connection, self._queues)
            kept = await quarantine.kept_queues(connection)
            is_blocked = bool(waiting) and await holding.is_anything_blocked(connection)
            await self._turn_taking.look(connection, waiting, depths, now)
        self._limits.observe(depths, now)
        self._turn_taking.shared.update(queue for queue, depth in depths.queues.items() if depth.shared)
        await self._state(waiting, kept)
        if depths.epoch is None:
            return False
        more = False
        for queue in self._queues:
            if queue in kept:
                if kept[queue] and not depths.queues[queue].broken:
                    await self._top_up(queue, 1, depths.epoch, alone=True)
                continue
            room = self._limits.limit(queue) - depths.queues[queue].messages
            if queue not in waiting or depths.queues[queue].broken:
                continue
            wanted = min(room, _TASKS_A_QUEUE)
            if self._turn_taking.takes_turns(queue):
                depth = depths.queues[queue]
                sent, goes_on = await self._turn_taking.fill(queue, wanted, depths.epoch, depth, is_blocked)
            elif room <= 0:
                continue
            else:
                fill = self._sort_out if is_blocked else self._top_up
                sent, goes_on = await fill(queue, wanted, depths.epoch)
            more |= goes_on
            if sent >= wanted > 0:
                more = True
                if room <= _TASKS_A_QUEUE:
                    self._limits.filled(queue)
        return more

    async def _publish_pauses(self) -> None:
        """What a pause could not tell Redis, or Redis forgot, or somebody else told it."""
        stated = await self._broker.stated_pauses()
        # After what Redis says: nothing there is newer.
        async with self._store.statement() as connection:
            found = await pausing.pauses(connection)
        lies = pausing.lies(stated, found)
        if lies:
            log.error("Redis said of queues that they are paused or not, and nobody had: it is taken back", queues=lies)
            await self._broker.forget_pauses(lies)
        await self._broker.publish_pauses(pausing.words(found))

    async def _state(self, waiting: set[str], kept: Mapping[str, bool]) -> None:
        turns = self._turn_taking
        windows = {
            queue: StatedWindow(
                *((0, True) if queue in kept else (self._limits.limit(queue), queue in waiting)),
                queue in turns.shared,
                turns.sole.get(queue),
            )
            for queue in self._queues
        }
        if windows != self._stated or self._measure_memory_at - time.monotonic() > _MEMORY_SECONDS * 0.9:
            await self._broker.state_windows(windows)
            self._stated = windows

    async def _top_up(self, queue: str, room: int, epoch: int, *, alone: bool = False) -> tuple[int, bool]:
        """Send up to so many tasks that wait; how many are surely on the broker, and whether to look again because
        others were held.
        """
        async with self._store.statement() as connection:
            envelopes, outbox_id = await dispatching.top_up(connection, queue, room, epoch, alone=alone)
        if alone:
            return await self._send(envelopes, outbox_id, epoch, 0), False
        return await self._deliver(queue, envelopes, outbox_id, epoch)

    async def _sort_out(self, queue: str, room: int, epoch: int) -> tuple[int, bool]:
        """``_top_up`` while circuit breakers hold some tasks."""
        looked_at = room + _HELD_A_QUEUE
        async with self._store.statement() as connection:
            envelopes, outbox_id, held = await dispatching.sort_out(connection, queue, room, looked_at, epoch)
        if held:
            log.info("tasks are held by circuit breakers", queue=queue, tasks=held)
        sent, goes_on = await self._deliver(queue, envelopes, outbox_id, epoch)
        return sent, goes_on or held >= _HELD_A_QUEUE

    async def _deliver(
        self, queue: str, envelopes: list[Envelope], outbox_id: int | None, epoch: int, fronts: int = 0
    ) -> tuple[int, bool]:
        """Publish what was marked as sent, but for what nobody can run: how many are surely on the broker, and whether
        others were held. The first ``fronts`` of them go before what is there.
        """
        served = await self._without_unserved(queue, envelopes)
        if len(served) == len(envelopes):
            return await self._send(served, outbox_id, epoch, fronts), False
        early = {envelope.task_id for envelope in envelopes[:fronts]}
        fronts = sum(envelope.task_id in early for envelope in served)
        return await self._send(served, outbox_id, epoch, fronts), True

    async def _without_unserved(self, queue: str, envelopes: list[Envelope]) -> list[Envelope]:
        """Those whose type some worker of the queue knows, as far as anybody can say. The others are held.

        Who dies before that leaves them in the outbox row, and a worker gives them back.
        """
        types = self._serving.types
        unserved = [envelope for envelope in envelopes if types.is_unserved(queue, envelope.task_type)]
        if not unserved:
            return envelopes
        named = {envelope.task_type for envelope in unserved}
        async with self._store.statement() as connection:
            held = await hold_unpublished(connection, [(one.task_id, one.dispatch) for one in unserved])
            held += await hold_waiting(connection, queue, named, _UNSERVED_LOOKED_AT)
        log.info("tasks are held for an unknown task type", queue=queue, task_types=sorted(named)[:5], tasks=held)
        return [envelope for envelope in envelopes if envelope.task_type not in named]

    async def _send(self, envelopes: Sequence[Envelope], outbox_id: int | None, epoch: int, fronts: int) -> int:
        if outbox_id is None:
            return 0
        reach(Failpoint.DISPATCHER_SENT)
        if envelopes and not await self._publisher.publish(envelopes, epoch, fronts):
            return 0
        reach(Failpoint.DISPATCHER_PUBLISHED)
        async with self._store.statement() as connection:
            await drop_published(connection, [outbox_id])
        return len(envelopes)
