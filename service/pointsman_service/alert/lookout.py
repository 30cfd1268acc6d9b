"""Gathers the facts for the rules, each question bounded in time. What cannot be asked now is not known."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from pointsman_contract import keys
from pointsman_contract.queues import MAX_PRIORITY
from pointsman_contract.server_words import server_words
from pointsman_contract.states import TaskState
from pointsman_service.alert.facts import ErrorNews, Facts, PoolFacts, QueueFacts, TrippedBreaker, UnknownType
from pointsman_service.alert.losses import Losses
from pointsman_service.breaker import last_error
from pointsman_service.broker import Broker, Depths
from pointsman_service.errors import DatabaseAway, ExpectedFault
from pointsman_service.fleet.liveness import Liveness
from pointsman_service.fleet.serving import ServingView
from pointsman_service.observe import set_aside
from pointsman_service.observe.backlog import backlogs
from pointsman_service.observe.broker_state import BrokerState, BrokerWatch
from pointsman_service.observe.kept import NotInTime, within
from pointsman_service.observe.prediction.prediction import Prediction
from pointsman_service.observe.prediction.view import PredictionView
from pointsman_service.observe.queues import windows_of
from pointsman_service.observe.roles import unled_seconds
from pointsman_service.observe.sla import Burn
from pointsman_service.observe.sla_watch import recent
from pointsman_service.redis import BrokerAway, RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store import clock
from pointsman_service.store.alerts import facts
from pointsman_service.store.alerts.facts import MOST_BREAKERS, DueRow, ErrorNewsRow, TrippedRow
from pointsman_service.store.metrics import watching
from pointsman_service.store.metrics.watching import LeadRow
from pointsman_service.store.queues import backlog, pausing, unserved
from pointsman_service.store.queues.pausing import QueuePause
from pointsman_service.store.queues.unserved import MOST_COUNTED
from pointsman_service.store.store import Connection, Store
from pointsman_service.store.streams import epochs, left_out
from pointsman_service.telemetry import logger

log = logger(__name__)

Answer = TypeVar("Answer")

_QUESTION_SECONDS = 2.0
"""Two in a row leave time to act on what was seen: one slow answer must not keep a breaker's alert back."""
_COUNTERS_SECONDS = 15.0
"""Counters have minutes: asked more often they say the same."""
_URGENT_PRIORITY = 8
_MESSAGES_LOOKED_AT = 20
_LATELY_SECONDS = 600.0
"""So long an entry that was left out is news."""


class Lookout:
    """Looks at the database and the broker for one process."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        server: RedisServer,
        settings: Settings,
        known_since: Callable[[], float | None] = lambda: None,
    ) -> None:
        """``known_since``: since when (monotonic) the database has told who leads; None: it does not now."""
        self._store = store
        self._known_since = known_since
        self._server = server
        self._settings = settings
        self._broker = BrokerWatch(broker, server)
        self._dead_seconds = settings.worker_dead_seconds
        self._judged_epoch: int | None = None
        self._judged_from = 0.0
        self._liveness = Liveness(server, settings.worker_dead_seconds)
        self._losses = Losses()
        self._serving = ServingView(store, settings)
        self._served_at: dict[str, float] = {}
        self._counters_at = float("-inf")
        self._predictions = PredictionView(server)
        self._burns: dict[str, Burn] | None = None
        self._unrecorded_seconds = 0.0
        self._failed: dict[str, int] | None = None
        self._failures: dict[str, str] = {}

    async def look(self) -> Facts:
        """Everything that can be known now. Raises the store's errors when the database is away."""
        broker, judged, _ = await asyncio.gather(self._broker.state(), self._judge_workers(), self._predict())
        async with self._store.statement() as connection:
            now = await clock.now(connection)
            tripped = await facts.tripped(connection)
        rest, _ = await asyncio.gather(_if_known(self._rest(broker, now, judged=judged)), _if_known(self._count()))
        return Facts(
            now=now,
            breakers=tuple(map(_breaker, tripped[:MOST_BREAKERS])),
            breakers_complete=len(tripped) <= MOST_BREAKERS,
            burns=self._burns,
            failed=self._failed,
            failures=self._failures,
            lost_workers=self._losses.look(self._liveness) if judged else None,
            pools=self._pools() if judged else None,
            broker_up=broker.up,
            broker_reason=broker.reason,
            set_aside=None
            if broker.set_aside is None
            else {queue: found.open for queue, found in broker.set_aside.items()},
            broken_keys=None if broker.depths is None else broker.depths.broken,
            memory_percent=None if broker.depths is None else broker.depths.memory_percent,
            **(rest or {}),
        )

    async def _predict(self) -> None:
        """Read the newest forecast. One that could not be read for long says nothing."""
        with suppress(BrokerAway, NotInTime):
            await within(_QUESTION_SECONDS, self._predictions.single_pass())

    async def _judge_workers(self) -> bool:
        """Whether workers can be judged: by their beats, once they were watched for long enough."""
        try:
            await within(_QUESTION_SECONDS, self._liveness.look())
        except (BrokerAway, NotInTime):
            return False
        epoch, watched = self._liveness.epoch, self._liveness.watched_seconds
        if epoch != self._judged_epoch:
            # Whoever was dead has to be watched anew.
            self._judged_epoch, self._judged_from = epoch, watched + self._dead_seconds
        return epoch is not None and watched >= self._judged_from

    async def _rest(self, broker: BrokerState, now: float, *, judged: bool) -> dict[str, Any]:
        async with self._store.statement() as connection:
            leads = await watching.leads(connection)
            queues = await self._queues(connection, broker, now, judged=judged)
            epoch = await epochs.current(connection)
            positions = await epochs.positions(connection)
            left = await left_out.recent(connection, _LATELY_SECONDS)
            news = await facts.error_news(connection)
            held = await unserved.held_places(connection, MOST_COUNTED)
        if held:
            await self._serving.single_pass()
        known: dict[str, Any] = {"unled": self._unled(leads), "queues": queues, "left_out": 0}
        known["errors"] = tuple(map(_error_news, news))
        if left is not None:
            known["left_out"], known["left_out_last"] = left
        known["unknown_types"] = tuple(
            UnknownType(
                found.task_type,
                found.queue,
                found.tasks,
                MOST_COUNTED,
                found.since.timestamp(),
                tuple(self._serving.types.nodes_of(found.queue)),
                tuple(self._serving.types.knowing(found.queue, found.task_type)),
            )
            for found in held
        )
        if any(found.open for found in (broker.set_aside or {}).values()):
            known["set_aside_last"] = await self._why_set_aside()
        if broker.up and epoch is not None:
            lag = known["recorder_lag_seconds"] = await self._broker.lag_seconds(positions, epoch.epoch)
            self._unrecorded_seconds = lag or 0.0
            known["stream_entries"] = await self._stream_entries(epoch.epoch)
        return known

    def _unled(self, leads: Mapping[str, LeadRow]) -> dict[str, float] | None:
        """Nobody is said to be missing for longer than it was looked for: after a start, or an outage of the database,
        everybody is on their way.
        """
        since = self._known_since()
        if since is None:
            return None
        looked = time.monotonic() - since
        return {
            str(role): min(unled, looked) for role, unled in unled_seconds(leads, self._settings.leader_seconds).items()
        }

    async def _count(self) -> None:
        now_here = time.monotonic()
        if now_here - self._counters_at < _COUNTERS_SECONDS:
            return
        # Also when it fails: a database that is slow with it is not asked again at once.
        self._counters_at = now_here
        async with self._store.statement() as connection:
            now = await recent(connection, self._settings.topology.queues, self._unrecorded_seconds)
            failed = await facts.failed(connection)
            failures = await facts.last_failures(connection, list(failed)) if failed else []
        self._burns = dict(now.burn)
        self._failed = failed
        self._failures = {
            row.task_type: f"{last_error.in_a_line(row.error_type, row.error_message)} (task {row.task_id})"
            for row in failures
        }

    async def _queues(
        self, connection: Connection, broker: BrokerState, now: float, *, judged: bool
    ) -> tuple[QueueFacts, ...]:
        specs = self._settings.topology.queues
        due = {row.queue: row for row in await facts.due(connection, [spec.name for spec in specs])}
        pauses = {pause.queue: pause for pause in await pausing.pauses(connection)}
        found = backlogs(await backlog.unfinished(connection), due)
        windows = {} if broker.depths is None else windows_of(broker.depths, self._settings.window_initial)
        return tuple(
            QueueFacts(
                name=spec.name,
                sla_seconds=spec.sla_seconds,
                urgent=spec.priority >= _URGENT_PRIORITY,
                oldest_seconds=_oldest(due[spec.name].waiting_seconds, due[spec.name].sent_seconds),
                waiting_seconds=due[spec.name].waiting_seconds,
                paused=spec.name in pauses and pauses[spec.name].paused,
                room=self._room(broker.depths, spec.name),
                consumers=self._consumers(spec.name) if judged else None,
                quiet_seconds=self._quiet_seconds(spec.name) if judged else None,
                kept_off=self._kept_off(spec.name) if judged else (),
                resumed_seconds=_resumed_seconds(pauses.get(spec.name), now),
                depth=found[spec.name].depth,
                waiting=found[spec.name].waiting,
                on_broker=found[spec.name].on_broker,
                running=found[spec.name].of(TaskState.RUNNING),
                held=found[spec.name].of(TaskState.HELD),
                window=windows.get(spec.name),
                remaining=self._remaining(due[spec.name]),
                prediction=self._predictions.of(spec.name, spec.priority),
            )
            for spec in specs
        )

    def _remaining(self, due: DueRow) -> Prediction | None:
        """How much longer the oldest will wait: before it are those that are more urgent."""
        priority = due.waiting_priority
        if priority is None or (due.sent_seconds or 0.0) > (due.waiting_seconds or 0.0):
            priority = due.sent_priority
        if priority is None:
            return None
        line = self._predictions.forecast(due.queue).line
        urgent = 0.0 if line is None or priority >= MAX_PRIORITY else line.ahead[priority + 1].tasks - line.rivals.tasks
        return self._predictions.remaining(due.queue, priority, max(round(urgent), 0))

    def _room(self, depths: Depths | None, queue: str) -> bool | None:
        if depths is None or depths.epoch is None or queue not in depths.queues:
            return None
        depth = depths.queues[queue]
        if depth.broken:
            return False
        limit = self._settings.window_initial if depth.limit is None else depth.limit
        # Half empty, so that a window that is just being filled is no fault.
        return depths.memory_percent < self._settings.dispatch_memory_percent and depth.messages * 2 < limit

    def _consumers(self, queue: str) -> int:
        """Processes that take tasks of a queue: those of nodes that are ejected or about to go take nothing."""
        return sum(
            beat["processes"]
            for beat in self._liveness.beats().values()
            if queue in beat["queues"] and not beat.get("ejected") and not beat.get("stopping")
        )

    def _kept_off(self, queue: str) -> tuple[str, ...]:
        beats = self._liveness.beats().values()
        return tuple(sorted(beat["name"] for beat in beats if queue in beat["queues"] and beat.get("ejected")))

    def _pools(self) -> tuple[PoolFacts, ...]:
        """Every pool that is configured or has a living worker."""
        processes = dict.fromkeys((pool.name for pool in self._settings.topology.pools), 0)
        busy = dict.fromkeys(processes, 0)
        for beat in self._liveness.beats().values():
            processes[beat["pool"]] = processes.get(beat["pool"], 0) + beat["processes"]
            busy[beat["pool"]] = busy.get(beat["pool"], 0) + len(beat["running"])
        return tuple(PoolFacts(name, processes[name], busy[name]) for name in processes)

    async def _why_set_aside(self) -> dict[str, str]:
        try:
            newest = await within(_QUESTION_SECONDS, set_aside.newest(self._server, _MESSAGES_LOOKED_AT, None))
        except (BrokerAway, NotInTime):
            return {}
        return {message.queue: message.reason for message in reversed(newest)}

    def _quiet_seconds(self, queue: str) -> float:
        """Since a worker of the queue was last seen alive, whether it died, said good-bye or was ejected since."""
        now = time.monotonic()
        silent = [
            self._liveness.silent_seconds(owner) or 0.0
            for owner, beat in self._liveness.beats().items()
            if queue in beat["queues"] and not beat.get("ejected")
        ]
        if silent:
            self._served_at[queue] = now - min(silent)
        return now - self._served_at.setdefault(queue, now - self._liveness.watched_seconds)

    async def _stream_entries(self, epoch: int) -> int | None:
        try:
            entries: int = await within(_QUESTION_SECONDS, self._server.command("XLEN", keys.events(epoch)))
        except (BrokerAway, NotInTime):
            return None
        return entries


def _error_news(row: ErrorNewsRow) -> ErrorNews:
    words = last_error.in_a_line(row.error_type or "", row.message) if row.error_type else row.message
    return ErrorNews(row.group, row.task_type, row.blamed, words, row.since, row.is_back)


def _breaker(row: TrippedRow) -> TrippedBreaker:
    error = None if row.last_error is None else last_error.in_words(row.last_error)
    return TrippedBreaker(row.scope, row.name, row.seen, row.since, error)


def _resumed_seconds(pause: QueuePause | None, now: float) -> float | None:
    return None if pause is None or pause.paused else now - pause.changed_at.timestamp()


def _oldest(*seconds: float | None) -> float | None:
    return max((one for one in seconds if one is not None), default=None)


async def _if_known(question: Awaitable[Answer]) -> Answer | None:
    try:
        return await within(_QUESTION_SECONDS, question)
    except (DatabaseAway, ExpectedFault, NotInTime) as error:
        log.info("some facts for alerts are not known now", reason=server_words(error))
        return None
