"""All views of one process, sharing what they keep."""

from dataclasses import dataclass
from typing import Self

from service.broker import Broker
from service.observe.backlog import BacklogWatch
from service.observe.broker_state import BrokerWatch
from service.observe.kept import Kept
from service.observe.queues import QueueWatch
from service.observe.readiness import ReadinessWatch
from service.observe.task_metrics import read as read_sums
from service.observe.workers import WorkerWatch
from service.redis import RedisServer
from service.settings import Settings
from service.store.store import Store
from service.store.watching import Sums

_TOTALS_SECONDS = 1.5
_TOTALS_REST = 10.0
"""Summing everything kept takes at most a tenth of one connection's time."""


@dataclass(frozen=True, slots=True)
class Views:
    """Read-only views."""

    broker: BrokerWatch
    backlog: BacklogWatch
    workers: WorkerWatch
    queues: QueueWatch
    readiness: ReadinessWatch
    totals: Kept[list[Sums]]
    """Sums by task type and queue over everything kept."""

    @classmethod
    def over(cls, settings: Settings, store: Store, broker: Broker, server: RedisServer) -> Self:
        """The views of this database and this broker."""
        watch = BrokerWatch(broker, server)
        backlog = BacklogWatch(store, (spec.name for spec in settings.topology.queues))
        workers = WorkerWatch(store, watch, settings)
        return cls(
            broker=watch,
            backlog=backlog,
            workers=workers,
            queues=QueueWatch(store, backlog, workers, settings.topology),
            readiness=ReadinessWatch(store, watch, workers, settings),
            totals=Kept(lambda: read_sums(store, "both", None), _TOTALS_SECONDS, _TOTALS_REST),
        )
