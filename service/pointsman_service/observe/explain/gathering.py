"""The facts about one task: its row, what only it can say, and what is kept in memory of the installation."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from pointsman_contract.dependencies import key_of
from pointsman_contract.states import Place, TaskState
from pointsman_service.breaker.entry import Entry
from pointsman_service.observe.broker_state import BrokerState, BrokerWatch
from pointsman_service.observe.explain.core import explain
from pointsman_service.observe.explain.explanation import Explanation
from pointsman_service.observe.explain.facts import (
    Breaker,
    Count,
    Facts,
    HeldType,
    LastError,
    Live,
    Node,
    Pause,
    Publisher,
    Queue,
    System,
    UnknownType,
)
from pointsman_service.observe.explain.nodes import fetched_by, nodes_of, runner_of, running_now, with_last
from pointsman_service.observe.explain.usual import UsualRuns
from pointsman_service.observe.kept import Kept
from pointsman_service.observe.prediction.prediction import Prediction
from pointsman_service.observe.prediction.view import PredictionView
from pointsman_service.observe.roles import unled_seconds
from pointsman_service.observe.tasks.task import Task, task_of
from pointsman_service.observe.tasks.waiting import ahead_of, behind
from pointsman_service.observe.workers import WorkerFigures, WorkerWatch
from pointsman_service.settings import Settings
from pointsman_service.store.breakers import breakers
from pointsman_service.store.metrics import watching
from pointsman_service.store.queues import pausing, quarantine
from pointsman_service.store.queues.holding import BY_BREAKER
from pointsman_service.store.queues.unserved import UNKNOWN_TASK_TYPE
from pointsman_service.store.store import Connection, Store
from pointsman_service.store.streams import epochs
from pointsman_service.store.tasks import explaining, reading
from pointsman_service.store.tasks.explaining import LiveRow

_KEPT_SECONDS = 0.5
_LOOKS = 3
"""A task that moves while it is looked at is looked at again."""


@dataclass(frozen=True, slots=True)
class _Installation:
    """What every explanation needs, asked for all of them."""

    system: System
    pauses: Mapping[str, Pause]
    kept_for: Mapping[str, str]
    broker: BrokerState


class Explainer:
    """Explains tasks for one process."""

    def __init__(
        self,
        store: Store,
        broker: BrokerWatch,
        workers: WorkerWatch,
        predictions: PredictionView,
        settings: Settings,
    ) -> None:
        self._store = store
        self._broker = broker
        self._workers = workers
        self._predictions = predictions
        self._settings = settings
        self.usual = UsualRuns(store)
        self._installation = Kept(self._look, _KEPT_SECONDS)

    async def of_task(self, task_id: UUID, *, reads_payloads: bool = True) -> Explanation | None:
        """Why the task is where it is; None when there is none of this id; without ``reads_payloads`` without messages
        of errors. Raises the store's errors.

        Costs a few statements, each bounded; what concerns the whole installation is at most a second old.
        """
        facts = await self._facts(task_id)
        if facts is None:
            return None
        return explain(facts if reads_payloads else facts.without_payloads())

    async def of_queue(self, queue: str, *, reads_payloads: bool = True) -> tuple[UUID, Explanation] | None:
        """Why nothing of a queue starts faster: the task that is next, and why it waits; where all that are due are
        held, the oldest of those. None when none waits. Raises the store's errors.
        """
        async with self._store.statement() as connection:
            first = await explaining.head(connection, queue)
        found = None if first is None else await self.of_task(first, reads_payloads=reads_payloads)
        return None if first is None or found is None else (first, found)

    async def _facts(self, task_id: UUID) -> Facts | None:
        for look in range(_LOOKS):
            async with self._store.statement() as connection:
                row = await reading.task(connection, task_id)
                live = None if row is None else await explaining.live(connection, task_id)
            if row is None:
                return None
            task, now = task_of(row), row["read_at"]
            if task.finished_at is not None:
                return Facts(now, task)
            if live is not None and (live.state == task.state or look == _LOOKS - 1):
                return await self._unfinished(now, task, live)
        return None

    async def _unfinished(self, now: datetime, task: Task, row: LiveRow) -> Facts:
        here, workers, usual = await asyncio.gather(
            self._installation.get(), self._workers.read(), self.usual.p95_by_type()
        )
        live = Live(
            place=Place(row.place),
            sent_at=row.sent_at,
            held_at=row.held_at,
            unclaimed=row.unclaimed,
            unclaimed_reason=row.unclaimed_reason,
            interrupted_in_a_row=row.interrupted_in_a_row,
            takes_turns=row.takes_turns,
            cancel_grace_seconds=row.cancel_grace_seconds,
            time_limit_seconds=row.time_limit_seconds,
        )
        nodes = nodes_of(task.queue, workers, now)
        ahead, prediction = await self._ahead(task, row)
        async with self._store.statement() as connection:
            if not any(node.live for node in nodes):
                nodes = await with_last(connection, task.queue, nodes)
            line = self._predictions.forecast(task.queue).line
            return Facts(
                now=now,
                task=task,
                live=live,
                system=here.system,
                queue=await self._queue(connection, task, here, nodes, usual, now),
                ahead=ahead,
                elsewhere=None if line is None else round(line.rivals.tasks),
                prediction=prediction,
                fetched=fetched_by(task, live, here.broker, nodes),
                runner=runner_of(task, workers),
                breaker=await self._breaker(connection, task),
                unknown=await _unknown(connection, task, workers),
                usual_p95_seconds=usual.get(task.task_type),
            )

    async def _ahead(self, task: Task, row: LiveRow) -> tuple[Count, Prediction] | tuple[None, None]:
        """What is before it, and how long it goes on waiting: the same as ``remaining_wait`` says."""
        if task.state is not TaskState.QUEUED:
            return None, None
        before, capped = await ahead_of(self._store, task, row, self._settings.caller_weights)
        most = explaining.MOST_COUNTED
        said = behind(self._predictions, task.queue, task.priority, before, capped=capped)
        return Count(min(before, most), capped or before > most), said

    async def _queue(
        self,
        connection: Connection,
        task: Task,
        here: _Installation,
        nodes: tuple[Node, ...],
        usual: Mapping[str, float],
        now: datetime,
    ) -> Queue:
        depth = None if here.broker.depths is None else here.broker.depths.queues.get(task.queue)
        waits = task.state is TaskState.QUEUED
        return Queue(
            name=task.queue,
            pause=here.pauses.get(task.queue),
            kept_for=here.kept_for.get(task.queue),
            on_broker=None if depth is None else depth.messages,
            window=None if depth is None else self._settings.window_initial if depth.limit is None else depth.limit,
            broken=depth is not None and depth.broken,
            nodes=nodes,
            running=await running_now(connection, task.queue, here.broker, usual, now) if waits else (),
            begun=await explaining.begun(connection, task.queue) if waits else 0,
        )

    async def _breaker(self, connection: Connection, task: Task) -> Breaker | None:
        reason = task.held_reason
        if task.state is not TaskState.HELD or reason is None or not reason.startswith(BY_BREAKER):
            return None
        key = key_of(reason.removeprefix(BY_BREAKER))
        found = await breakers.find(connection, [key])
        types, capped = await explaining.held_types(connection, reason)
        held = Count(min(sum(types.values()), explaining.MOST_COUNTED), capped)
        held_types = tuple(HeldType(name, tasks) for name, tasks in types.items())
        if key not in found:
            return Breaker(key[0], key[1], "closed", None, None, held=held, held_types=held_types)
        entry = Entry.of_row(found[key], self._settings.circuit_breaker)
        turns = await breakers.history(connection, key, 2**63 - 1, 1)
        machine, by_hand, error = entry.breaker, entry.breaker.override, entry.last_error
        opened = _moment(machine.opened_at) if by_hand is None else None
        return Breaker(
            scope=key[0],
            name=key[1],
            seen=str(machine.seen),
            since=opened or (turns[0].at if turns else None),
            retry_at=_moment(machine.lets_through_at),
            by=None if by_hand is None else by_hand.actor,
            reason=None if by_hand is None else by_hand.reason,
            until=None if by_hand is None else _moment(by_hand.expires_at),
            last_error=None
            if error is None
            else LastError(
                error.type, error.message, error.task_id, datetime.fromtimestamp(error.at, UTC), error.count
            ),
            held=held,
            held_types=held_types,
        )

    async def _look(self) -> _Installation:
        broker = await self._broker.state()
        async with self._store.statement() as connection:
            leads = await watching.leads(connection)
            pauses = await pausing.pauses(connection)
            kept_for = await quarantine.kept_for(connection)
            epoch = await epochs.current(connection)
            positions = await epochs.positions(connection)
        depths, settings = broker.depths, self._settings
        lag = None
        if depths is not None and epoch is not None:
            lag = await self._broker.lag_seconds(positions, epoch.epoch)
        unled = unled_seconds(leads, settings.leader_seconds)
        system = System(
            redis_up=broker.up,
            redis_reason=broker.reason,
            memory_percent=None if depths is None else depths.memory_percent,
            full_percent=settings.dispatch_memory_percent,
            broken_keys=() if depths is None else depths.broken,
            in_census=depths is not None and depths.epoch is None,
            unled={str(role): seconds for role, seconds in unled.items()},
            missing_seconds=settings.alert_role_missing_seconds,
            recorder_lag_seconds=lag,
            recorder_limit_seconds=settings.alert_recorder_lag_seconds,
        )
        paused = {one.queue: Pause(one.actor, one.reason, one.changed_at) for one in pauses if one.paused}
        return _Installation(system, paused, kept_for, broker)


async def _unknown(connection: Connection, task: Task, workers: Iterable[WorkerFigures]) -> UnknownType | None:
    if task.held_reason != UNKNOWN_TASK_TYPE:
        return None
    held = await explaining.held_at(connection, UNKNOWN_TASK_TYPE, task.task_type, task.queue)
    row = await explaining.publisher(connection, task.task_type)
    publisher = None if row is None else Publisher(row.name, row.last_seen_at, row.published_at)
    owners = {worker.owner: worker.name for worker in workers if worker.live and task.queue in worker.queues}
    knowing = await explaining.knowing(connection, task.task_type, list(owners))
    return UnknownType(
        tuple(sorted(owners.values())), Count(*held), publisher, tuple(sorted(owners[owner] for owner in knowing))
    )


def _moment(unix_seconds: float | None) -> datetime | None:
    return None if unix_seconds is None else datetime.fromtimestamp(unix_seconds, UTC)
