"""Gathers the facts for the rules, each question bounded in time. What cannot be asked now is not known."""

import time
from collections.abc import Awaitable
from typing import Any, TypeVar

from contract import keys
from service.alert.facts import Burn, Facts, LostWorker, QueueFacts, Starts, TrippedBreaker
from service.broker import Broker, Depths
from service.errors import DatabaseAway
from service.loops import ExpectedFault
from service.observe.broker_state import BrokerState, BrokerWatch
from service.observe.kept import NotInTime, within
from service.redis import BrokerAway, RedisServer
from service.settings import Settings
from service.store import alert_facts, clock, epochs, pausing, watching
from service.store.alert_facts import MOST_BREAKERS
from service.store.store import Connection, Store
from service.telemetry import logger

log = logger(__name__)

Answer = TypeVar("Answer")

_QUESTION_SECONDS = 1.5
_COUNTERS_SECONDS = 15.0
"""Counters have minutes: asked more often they say the same."""
_WORKERS_SHOWN_SECONDS = 3600.0
_URGENT_PRIORITY = 8


class Lookout:
    """Looks at the database and the broker for one process."""

    def __init__(self, store: Store, broker: Broker, server: RedisServer, settings: Settings) -> None:
        self._store = store
        self._server = server
        self._settings = settings
        self._broker = BrokerWatch(broker, server)
        self._up_since: float | None = None
        self._counters_at = float("-inf")
        self._burns: dict[str, Burn] | None = None
        self._failed: dict[str, int] | None = None

    async def look(self) -> Facts:
        """Everything that can be known now. Raises the store's errors when the database is away."""
        broker = await self._broker.state()
        now_here = time.monotonic()
        self._up_since = (self._up_since or now_here) if broker.up else None
        async with self._store.statement() as connection:
            now = await clock.now(connection)
            tripped = await alert_facts.tripped(connection)
        rest = await _if_known(self._rest(broker, now_here))
        return Facts(
            now=now,
            breakers=tuple(TrippedBreaker(row.scope, row.name, row.seen, row.since) for row in tripped[:MOST_BREAKERS]),
            breakers_complete=len(tripped) <= MOST_BREAKERS,
            burns=self._burns,
            failed=self._failed,
            broker_up=broker.up,
            memory_percent=None if broker.depths is None else broker.depths.memory_percent,
            **(rest or {}),
        )

    async def _rest(self, broker: BrokerState, now_here: float) -> dict[str, Any]:
        async with self._store.statement() as connection:
            if now_here - self._counters_at >= _COUNTERS_SECONDS:
                await self._count(connection, now_here)
            workers = await watching.workers(connection, _WORKERS_SHOWN_SECONDS)
            leaders = await watching.leaders(connection)
            queues = await self._queues(connection, broker, workers if self._sees_workers(now_here) else None)
            epoch = await epochs.current(connection)
            positions = await epochs.positions(connection)
        number = None if epoch is None else epoch.epoch
        known: dict[str, Any] = {"leaders": leaders, "queues": queues}
        if self._sees_workers(now_here):
            known["lost_workers"] = self._lost(workers, broker)
        if broker.up and number is not None:
            known["recorder_lag_seconds"] = await self._broker.lag_seconds(positions, number)
            known["stream_entries"] = await self._stream_entries(number)
        return known

    async def _count(self, connection: Connection, now_here: float) -> None:
        rows = await alert_facts.starts(connection)
        self._burns = {
            row.queue: Burn(*(Starts(met, missed) for met, missed in zip(row.met, row.missed, strict=True)))
            for row in rows
        }
        self._failed = await alert_facts.failed(connection)
        self._counters_at = now_here

    def _sees_workers(self, now_here: float) -> bool:
        """Workers are seen through the broker: after it was away, only when each had time to be seen again."""
        return self._up_since is not None and now_here - self._up_since > self._settings.worker_dead_seconds

    async def _queues(
        self, connection: Connection, broker: BrokerState, workers: list[dict[str, Any]] | None
    ) -> tuple[QueueFacts, ...]:
        specs = self._settings.topology.queues
        due = {row.queue: row for row in await alert_facts.due(connection, [spec.name for spec in specs])}
        paused = {pause.queue for pause in await pausing.pauses(connection) if pause.paused}
        return tuple(
            QueueFacts(
                name=spec.name,
                sla_seconds=spec.sla_seconds,
                urgent=spec.priority >= _URGENT_PRIORITY,
                oldest_seconds=_oldest(due[spec.name].waiting_seconds, due[spec.name].sent_seconds),
                waiting_seconds=due[spec.name].waiting_seconds,
                paused=spec.name in paused,
                room=self._room(broker.depths, spec.name),
                consumers=None if workers is None else self._consumers(workers, spec.name),
            )
            for spec in specs
        )

    def _room(self, depths: Depths | None, queue: str) -> bool | None:
        if depths is None or depths.epoch is None or queue not in depths.queues:
            return None
        depth = depths.queues[queue]
        limit = self._settings.window_initial if depth.limit is None else depth.limit
        # Half empty, so that a window that is just being filled is no fault.
        return depths.memory_percent < self._settings.dispatch_memory_percent and depth.messages * 2 < limit

    def _is_live(self, worker: dict[str, Any]) -> bool:
        silent: float = worker["heartbeat_age_seconds"]
        return silent < self._settings.worker_dead_seconds

    def _consumers(self, workers: list[dict[str, Any]], queue: str) -> int:
        return sum(worker["processes"] for worker in workers if self._is_live(worker) and queue in worker["queues"])

    def _lost(self, workers: list[dict[str, Any]], broker: BrokerState) -> tuple[LostWorker, ...]:
        live = [worker for worker in workers if self._is_live(worker)]
        names = {worker["name"] for worker in live}
        return tuple(
            LostWorker(worker["name"], worker["heartbeat_age_seconds"])
            for worker in workers
            # A worker that ends in order takes its beat away.
            if not self._is_live(worker) and worker["owner"] in broker.busy and worker["name"] not in names
            if not any(_succeeds(other, worker) for other in live)
        )

    async def _stream_entries(self, epoch: int) -> int | None:
        try:
            entries: int = await within(_QUESTION_SECONDS, self._server.command("XLEN", keys.events(epoch)))
        except (BrokerAway, NotInTime):
            return None
        return entries


def _succeeds(other: dict[str, Any], lost: dict[str, Any]) -> bool:
    """Whether ``other`` was started in the place of ``lost`` after it fell silent."""
    started: Any = other["started_at"]
    return bool(
        other["pool"] == lost["pool"] and started > lost["started_at"] and other["processes"] >= lost["processes"]
    )


def _oldest(*seconds: float | None) -> float | None:
    return max((one for one in seconds if one is not None), default=None)


async def _if_known(question: Awaitable[Answer]) -> Answer | None:
    try:
        return await within(2 * _QUESTION_SECONDS, question)
    except (DatabaseAway, ExpectedFault, NotInTime) as error:
        log.info("some facts for alerts are not known now", reason=type(error).__name__)
        return None
