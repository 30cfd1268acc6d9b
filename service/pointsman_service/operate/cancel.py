"""Cancel a task: one that waits ends at once and never runs, one that runs is asked to end, and then made to."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pointsman_contract.states import TERMINAL, TaskState
from pointsman_service.callers import Caller
from pointsman_service.claims.closing import Closer
from pointsman_service.errors import ServiceError, TaskFinished, UnknownTask
from pointsman_service.operate.act import Act, ActKind, acting, once_done
from pointsman_service.redis import BrokerAway, RedisServer
from pointsman_service.store import clock
from pointsman_service.store.store import Store
from pointsman_service.store.streams import epochs
from pointsman_service.store.tasks import cancelling, reading
from pointsman_service.store.tasks.cancelling import CancelRequest
from pointsman_service.store.tasks.ending import end_unstarted

_REDIS_SECONDS = 3.0
"""A caller waits no longer for a Redis that is silent."""


class _NothingToCancel(ServiceError):
    """The task has ended, or there is none: nothing is done, and no line says that it was."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A task after a request to cancel it."""

    row: dict[str, Any]
    told: bool
    """Whether the gate knows: no attempt starts from now on. If not, Redis is away, and the sweep tells it later."""


class Canceller:
    """Cancels for one API process. What it cannot finish at once the sweep ``cancelled`` does."""

    def __init__(self, store: Store, server: RedisServer) -> None:
        self._store = store
        self._closer = Closer(store, server)

    async def cancel(self, caller: Caller, task_id: UUID, grace_seconds: float, reason: str | None = None) -> Cancelled:
        """The task afterwards: ``cancelled``, or with ``cancel_requested_at`` when that takes longer.

        It takes longer while an attempt runs, which is asked to end and killed ``grace_seconds`` later; while the
        recorder is behind, which keeps no attempt from being refused; and while Redis is away. With an infinite grace
        time what runs is left alone, and no other follows. A task that is cancelled already stays so; asked again,
        the newest grace time counts. Raises ``UnknownTask``, or ``TaskFinished`` when it ended otherwise.
        """
        requested, told = None, True
        with suppress(_NothingToCancel):
            act = Act(ActKind.CANCEL, caller, str(task_id), reason)
            async with acting(self._store, act) as connection:
                requested = await cancelling.request(connection, task_id, grace_seconds, caller.name)
                if requested is None:
                    raise _NothingToCancel
                act.was(requested.state, "cancelled" if requested.never_sent else "cancel requested")
                now = datetime.fromtimestamp(await clock.now(connection), UTC)
                if requested.never_sent:
                    await end_unstarted(connection, self._store.listeners, [str(task_id)], [], TaskState.CANCELLED, now)
        if requested is None:
            row = await self._row(task_id)
        else:
            async with once_done():
                if not requested.never_sent:
                    told = await self._take_back(str(task_id), requested, grace_seconds, now)
                row = await self._row(task_id)
        if row is None:
            raise UnknownTask
        state = TaskState(row["state"])
        if state in TERMINAL and state is not TaskState.CANCELLED:
            raise TaskFinished(f"The task has ended already: it is {state}.")
        return Cancelled(row, told or state is TaskState.CANCELLED)

    async def _row(self, task_id: UUID) -> dict[str, Any] | None:
        async with self._store.statement() as connection:
            return await reading.task(connection, task_id)

    async def _take_back(self, task_id: str, requested: CancelRequest, grace_seconds: float, now: datetime) -> bool:
        """Whether the gate knows when this returns, in three seconds at most."""
        async with self._store.statement() as connection:
            epoch = await epochs.current(connection)
        if epoch is None:
            return False
        told = False
        closed: list[str] = []
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                if requested.running:
                    return await self._closer.ask({task_id: grace_seconds}, epoch.epoch)
                shut = await self._closer.shut({task_id: requested.attempt}, epoch.epoch, TaskState.CANCELLED)
                told = bool(shut.closed) or (
                    bool(shut.begun) and await self._closer.ask({task_id: grace_seconds}, epoch.epoch)
                )
                closed = await self._closer.recorded(shut)
        except (BrokerAway, TimeoutError):
            # The request is in the row: the sweep does what could not be done.
            return told
        if closed:
            async with self._store.transaction() as connection:
                await end_unstarted(connection, self._store.listeners, [], closed, TaskState.CANCELLED, now)
        return told
