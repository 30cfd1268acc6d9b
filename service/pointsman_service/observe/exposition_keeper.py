"""Gathers what ``/metrics`` tells and writes it down as text, in one process of many."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pointsman_service.errors import DatabaseAway, ExpectedFault
from pointsman_service.loops import Loop
from pointsman_service.observe.broker_state import BrokerState, BrokerWatch
from pointsman_service.observe.exposition import Exposition, Snapshot, text_of
from pointsman_service.observe.kept import NotInTime, within
from pointsman_service.observe.roles import unled_seconds
from pointsman_service.observe.views import Views
from pointsman_service.settings import Settings
from pointsman_service.store import refused_calls
from pointsman_service.store.alerts import alerts
from pointsman_service.store.breakers import breakers
from pointsman_service.store.metrics import exposed, predictions, watching
from pointsman_service.store.metrics.exposed import Body
from pointsman_service.store.queues import pausing
from pointsman_service.store.store import StatementRefused, Store
from pointsman_service.store.streams import left_out
from pointsman_service.telemetry import logger

log = logger(__name__)

Answer = TypeVar("Answer")

_INTERVAL_SECONDS = 5.0
_QUESTION_SECONDS = 4.0
_PREDICTIONS_SECONDS = 3600.0
_RISING = ("counter", "histogram")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What there may be to count, so that it is told as 0 before it first happens."""

    kinds: Callable[[], Awaitable[Sequence[tuple[str, str]]]]
    """Task types that are known, with each queue that they go to by themselves."""
    rules: Sequence[tuple[str, str]] = ()
    """Of alerts, with their severity."""


class ExpositionKeeper:
    """Renews the snapshot. Safe in every process: who began before another had ended writes nothing."""

    def __init__(self, store: Store, settings: Settings, views: Views, vocabulary: Vocabulary) -> None:
        self._store = store
        self._settings = settings
        self._views = views
        self._vocabulary = vocabulary
        self.loop = Loop("metrics", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Gather and write one snapshot. Raises the store's errors when the database is away."""
        async with self._store.statement() as connection:
            after = await exposed.number(connection)
        snapshot, counted = await self._gather()
        # Some thousand lines are tens of milliseconds, in which nobody should wait for this process.
        body = await asyncio.to_thread(body_of, snapshot)
        async with self._store.statement() as connection:
            await exposed.write(connection, body, after, counted)
        return False

    async def _gather(self) -> tuple[Snapshot, float | None]:
        """What is known now, and the age of what was summed up."""
        views, topology = self._views, self._settings.topology
        kinds = await _if_known(self._vocabulary.kinds())
        broker, totals, backlog, workers, lag, counted = await asyncio.gather(
            _broker(views.broker),
            _if_known(views.totals.read()),
            _if_known(views.backlog.read()),
            _if_known(views.workers.read()),
            _if_known(views.readiness.recorder_lag()),
            _if_known(self._counted()),
        )
        snapshot = Snapshot(
            broker,
            None if totals is None else totals.sums,
            backlog,
            workers,
            lag,
            [pool.name for pool in topology.pools],
            kinds=kinds or (),
            rules=self._vocabulary.rules,
            objective=self._settings.alert_sla_objective,
            targets={queue.name: queue.sla_seconds for queue in topology.queues},
        )
        if counted is not None:
            snapshot = counted(snapshot)
        return snapshot, None if totals is None else totals.age_seconds

    async def _counted(self) -> Callable[[Snapshot], Snapshot]:
        """Adds what single statements count."""
        async with self._store.statement() as connection:
            open_alerts = await alerts.counts(connection)
            left = await left_out.counts(connection)
            refused = await refused_calls.counts(connection)
            by_state = await breakers.counts(connection)
            paused = frozenset(pause.queue for pause in await pausing.pauses(connection) if pause.paused)
            told = await predictions.compared(connection, _PREDICTIONS_SECONDS)
            roles = unled_seconds(await watching.leads(connection), self._settings.leader_seconds)
        return lambda snapshot: replace(
            snapshot,
            alerts=open_alerts,
            left_out=left,
            refused=refused,
            breakers=by_state,
            paused=paused,
            roles=roles,
            predictions=told,
        )


def body_of(snapshot: Snapshot) -> Body:
    """The families of a snapshot as text."""
    families = list(Exposition(snapshot).collect())
    return Body(
        text_of(family for family in families if family.type in _RISING),
        text_of(family for family in families if family.type not in _RISING),
    )


async def _broker(watch: BrokerWatch) -> BrokerState:
    state = await watch.state()
    return replace(state, set_aside=await watch.set_aside()) if state.up else state


async def _if_known(question: Awaitable[Answer]) -> Answer | None:
    try:
        return await within(_QUESTION_SECONDS, question)
    except (DatabaseAway, ExpectedFault, NotInTime, StatementRefused) as error:
        log.info("a metric is left out", reason=f"{type(error).__name__}: {error}")
        return None
