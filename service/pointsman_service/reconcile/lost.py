"""The sweep ``lost``: a task was sent, has not started, and its message is nowhere. It is sent again.

The message was popped by a worker that died before it wrote ``unacked``, or Redis lost it; or it is in ``unacked`` and
belonged to a worker that is gone, where kombu would leave it for an hour. The gate turns away a message that was sent
once too often. One that is lost time after time while no worker dies is not sent for ever (``unclaimed``).
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from pointsman_contract.message import delivery_tag
from pointsman_service.broker import Broker
from pointsman_service.claims.tail import Tail
from pointsman_service.fleet.liveness import Liveness
from pointsman_service.loops import Loop
from pointsman_service.reconcile.lists import Lists
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store import clock
from pointsman_service.store.lost import missing, unclaimed
from pointsman_service.store.lost.missing import Unstarted
from pointsman_service.store.lost.unclaimed import Unclaimed
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_AGE_SECONDS = 5.0
_TASKS_A_PLACE = 500
_TAIL_SECONDS = 1.0
_WEIGHT_OF_A_DEATH = 0.1
"""Nodes that die again and again take messages along that would have run; but not for ever either."""


class LostSweep:
    """Safe in every process: a row goes back only while it is at the sending that was looked for."""

    def __init__(
        self, store: Store, broker: Broker, server: RedisServer, liveness: Liveness, settings: Settings
    ) -> None:
        self._store = store
        self._broker = broker
        self._server = server
        self._liveness = liveness
        self._lists = Lists(broker, [queue.name for queue in settings.topology.queues])
        # What was committed and not published is the outbox sweep's.
        self._age_seconds = max(_AGE_SECONDS, settings.outbox_age_seconds + 2)
        self._unclaimed_most = settings.unclaimed_sendings
        self.loop = Loop("lost sweep", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """Look for what has left its list, up to 500 tasks a queue and priority; True when there may be more."""
        epoch = self._liveness.epoch
        if epoch is None:
            return False
        async with self._store.statement() as connection:
            gone = self._liveness.departures.by_queue(await clock.now(connection))
            held = self._held()
            places = await self._lists.left(connection, self._age_seconds)
            found = await missing.unstarted(connection, places, epoch, _TASKS_A_PLACE)
        if not found:
            return False
        tail = await Tail.now(self._server, epoch)
        if not await tail.recorded_within(self._store, _TAIL_SECONDS):
            return False
        wanted = [(task.id, task.attempt, task.dispatch) for task in found]
        where = await self._broker.whereabouts(wanted, epoch)
        lost = [
            Unclaimed(task.id, task.dispatch, self._weight(task, epoch, gone))
            for task, place in zip(found, where, strict=True)
            if self._is_lost(task, place, held, gone)
        ]
        if not lost:
            return False
        async with self._store.statement() as connection:
            taken = await unclaimed.take_back(connection, lost, self._unclaimed_most)
        await self._broker.forget(taken)
        if taken:
            log.warning("messages were lost on the way; their tasks are sent again", tasks=len(taken))
        return len(taken) >= _TASKS_A_PLACE

    def _held(self) -> set[str]:
        """Delivery tags that living workers say they hold; not every transport can say it."""
        beats = cast(Iterable[Mapping[str, Any]], self._liveness.beats().values())
        return {tag for beat in beats for tag in beat.get("reserved") or ()}

    def _is_lost(self, task: Unstarted, place: str, held: set[str], gone: Mapping[str, float]) -> bool:
        if place == "unacked" and delivery_tag(task.id, task.dispatch) not in held:
            # What a living worker holds and does not name is sent once too often, once for each death.
            return _has_seen_a_death(task, gone)
        return place == "nowhere"

    def _weight(self, task: Unstarted, epoch: int, gone: Mapping[str, float]) -> float:
        """How much a sending in vain speaks against its task: nothing when Redis lost its data, little when a worker
        died that may have had it.
        """
        if task.sent_epoch < epoch:
            return 0.0
        return _WEIGHT_OF_A_DEATH if _has_seen_a_death(task, gone) else 1.0


def _has_seen_a_death(task: Unstarted, gone: Mapping[str, float]) -> bool:
    return task.sent_at < gone.get(task.queue, 0.0)
