"""All views of one process, sharing what they keep."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from pointsman_service.broker import Broker
from pointsman_service.errors import DatabaseAway, ExpectedFault
from pointsman_service.fleet.liveness import Liveness
from pointsman_service.observe.backlog import BacklogWatch
from pointsman_service.observe.breaker_reader import BreakerReader
from pointsman_service.observe.broker_state import BrokerWatch
from pointsman_service.observe.error_reader import ErrorReader
from pointsman_service.observe.explain.gathering import Explainer
from pointsman_service.observe.history import HistoryWatch
from pointsman_service.observe.kept import NotInTime, within
from pointsman_service.observe.prediction.view import PredictionView
from pointsman_service.observe.queues import QueueWatch
from pointsman_service.observe.readiness import ReadinessWatch
from pointsman_service.observe.recorded import RecordedWatch
from pointsman_service.observe.sla_watch import SlaWatch
from pointsman_service.observe.task_metrics import TaskMetricsWatch
from pointsman_service.observe.tasks.lists import TaskLists
from pointsman_service.observe.tasks.reader import TaskReader
from pointsman_service.observe.totals import TotalsWatch
from pointsman_service.observe.workers import WorkerWatch
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import StatementRefused, Store

_FIRST_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Views:
    """Read-only views."""

    broker: BrokerWatch
    backlog: BacklogWatch
    workers: WorkerWatch
    queues: QueueWatch
    readiness: ReadinessWatch
    totals: TotalsWatch
    predictions: PredictionView
    """Its loop must run."""
    explainer: Explainer
    sla: SlaWatch
    history: HistoryWatch
    recorded: RecordedWatch
    task_metrics: TaskMetricsWatch
    tasks: TaskReader
    task_lists: TaskLists
    errors: ErrorReader
    breakers: BreakerReader

    @classmethod
    def over(
        cls, settings: Settings, store: Store, broker: Broker, server: RedisServer, liveness: Liveness | None = None
    ) -> Self:
        """The views of this database and this broker. ``liveness``: what this process sees of the workers itself."""
        watch = BrokerWatch(broker, server)
        backlog = BacklogWatch(store, (spec.name for spec in settings.topology.queues))
        workers = WorkerWatch(store, watch, settings, liveness)
        predictions = PredictionView(server)
        readiness = ReadinessWatch(store, watch, workers, settings)
        task_metrics = TaskMetricsWatch(store)
        sla = SlaWatch(store, settings, readiness.recorder_lag, task_metrics)
        return cls(
            broker=watch,
            backlog=backlog,
            workers=workers,
            queues=QueueWatch(store, watch, backlog, workers, sla, settings.topology, settings.window_initial),
            readiness=readiness,
            totals=TotalsWatch(store),
            predictions=predictions,
            explainer=Explainer(store, watch, workers, predictions, settings),
            sla=sla,
            history=HistoryWatch(store),
            recorded=RecordedWatch(store, watch),
            task_metrics=task_metrics,
            tasks=TaskReader(store),
            task_lists=TaskLists(store),
            errors=ErrorReader(store),
            breakers=BreakerReader(store, settings),
        )


async def first_look(views: Views) -> None:
    """Look once at what everybody asks for first: connections are opened, statements are made and 30 days are summed
    up before somebody waits for it. What cannot be known now is looked for when it is asked for.
    """
    with suppress(DatabaseAway, ExpectedFault, NotInTime, StatementRefused):
        await within(_FIRST_LOOK_SECONDS, views.queues.read())
