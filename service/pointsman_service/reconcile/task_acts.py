"""The sweep ``task acts``: what is cancelled or run again by a filter, and what is taken back of it, part by part.

Whoever asked for it walks it while the caller waits; this goes on where that ended, or died.
"""

from collections.abc import Sequence
from enum import Enum, auto
from uuid import UUID

import uuid_utils

from pointsman_contract.states import TaskState
from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.store import Connection, Store
from pointsman_service.store.tasks import acts, replaying
from pointsman_service.store.tasks.acts import Stage, TaskAct, TaskActKind
from pointsman_service.telemetry import logger

log = logger(__name__)

_LOOKED_AT = 5_000
"""Rows of a part. Each part is a transaction."""
_MADE = 1_000
"""Tasks that are made in one."""
_ACTS = 20
"""Of more at a time the oldest go first."""


class Step(Enum):
    """What came of a part."""

    MORE = auto()
    REST = auto()
    """There is more, but not now: it has a rate, or waits for tasks to end."""
    OVER = auto()
    BUSY = auto()
    """Another one is at it."""


class TaskActsSweep:
    """Safe in every process: who does a part has the row of its act locked."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._queues = [queue.name for queue in settings.topology.queues]
        self.loop = Loop("task acts sweep", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """A part of each act that is not over; True when one has more that can be done now."""
        async with self._store.statement() as connection:
            found = await acts.open_acts(connection, _ACTS)
        steps = [await self.walk(act_id) for act_id in found]
        return Step.MORE in steps

    async def walk(self, act_id: UUID) -> Step:
        """One part of an act."""
        async with self._store.transaction() as connection:
            taken = await acts.take(connection, act_id)
            if taken is None:
                found = await acts.find(connection, act_id)
                busy = found is not None and found.stage in (Stage.WALKING, Stage.UNDOING)
                return Step.BUSY if busy else Step.OVER
            act, age_seconds = taken
            if act.stage is Stage.UNDOING:
                return await self._take_back(connection, act)
            return await self._do(connection, act, age_seconds)

    async def _do(self, connection: Connection, act: TaskAct, age_seconds: float) -> Step:
        cancels = act.kind is TaskActKind.CANCEL
        most = _LOOKED_AT if cancels else _MADE
        if act.most is not None:
            most = min(most, act.most - act.tasks)
        if cancels and act.rate_per_second is not None:
            due = int(act.rate_per_second * age_seconds) + 1 - act.tasks
            if due <= 0:
                return Step.REST
            most = min(most, due)
        part = await acts.part(connection, act, _LOOKED_AT, most)
        tasks, last_due_at = 0, None
        if part.ids and cancels:
            tasks = await acts.cancel(connection, act, part.ids)
        elif part.ids:
            again = await replaying.replay(
                connection,
                [(old, str(uuid_utils.uuid7())) for old in part.ids],
                states=frozenset(act.states()),
                queues=self._queues,
                replay_id=str(act.id),
                rate_per_second=act.rate_per_second,
                caller=act.caller,
                traceparent=None,
                since=act.requested_at,
                first=act.tasks,
            )
            tasks, last_due_at = again.tasks, again.last_due_at
        cut = len(part.ids) == most
        full = act.most is not None and act.tasks + tasks >= act.most
        over = full or not (cut or part.looked_at == _LOOKED_AT)
        await acts.walked(connection, act, part, Stage.DONE if over else Stage.WALKING, tasks, last_due_at)
        if not over:
            return Step.MORE
        log.info("an act on many tasks is done", act=str(act.kind), id=str(act.id), tasks=act.tasks + tasks)
        return Step.OVER

    async def _take_back(self, connection: Connection, act: TaskAct) -> Step:
        above = act.walked_to or UUID(int=0)
        cancelled = act.kind is TaskActKind.CANCEL
        members = acts.cancelled if cancelled else replaying.new_tasks
        ids = await members(connection, str(act.id), above, _MADE)
        if ids and not cancelled:
            await replaying.withdraw(connection, str(act.id), ids)
        # Before they are put back: what ends in between is put back by the next round.
        unended = act.unended + (await acts.unended(connection, ids) if ids else 0)
        put_back = await self._put_back(connection, act, ids) if ids else 0
        over = len(ids) < _MADE
        if not over:
            await acts.unwalked(connection, act, UUID(ids[-1]), Stage.UNDOING, unended, put_back)
            return Step.MORE
        if unended:
            await acts.unwalked(connection, act, UUID(int=0), Stage.UNDOING, 0, put_back)
            return Step.REST
        await acts.unwalked(connection, act, above, Stage.UNDONE, 0, put_back)
        log.info("an act on many tasks is undone", act=str(act.kind), id=str(act.id), tasks=act.put_back + put_back)
        return Step.OVER

    async def _put_back(self, connection: Connection, act: TaskAct, ids: Sequence[str]) -> int:
        if act.kind is not TaskActKind.CANCEL:
            return await replaying.reinstate(connection, str(act.id), ids)
        again = await replaying.replay(
            connection,
            [(old, str(uuid_utils.uuid7())) for old in ids],
            states=frozenset({TaskState.CANCELLED}),
            queues=self._queues,
            replay_id=str(act.id),
            rate_per_second=None,
            caller=None,
            traceparent=None,
            as_it_was=True,
        )
        return again.tasks
