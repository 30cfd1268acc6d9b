"""Cancel a task: one that waits ends at once and never runs, one that runs is asked to end, and then made to."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from contract.states import TERMINAL, TaskState
from service.errors import TaskFinished, UnknownTask
from service.reconcile.closing import Closer
from service.redis import RedisServer
from service.store import cancelling, clock, epochs, reading
from service.store.cancelling import CancelRequest
from service.store.ending import end_unstarted
from service.store.store import Store

_REDIS_SECONDS = 3.0
"""A caller waits no longer for a Redis that is silent."""


class Canceller:
    """Cancels for one API process. What it cannot finish at once the sweep ``cancelled`` does."""

    def __init__(self, store: Store, server: RedisServer) -> None:
        self._store = store
        self._closer = Closer(store, server)

    async def cancel(self, task_id: UUID, grace_seconds: float) -> dict[str, Any]:
        """The task's row afterwards: ``cancelled``, or with ``cancel_requested_at`` when that takes longer.

        It takes longer while an attempt runs, which is asked to end and killed ``grace_seconds`` later, and while
        Redis is away. With an infinite grace time it is left alone, and no other follows. A task that is cancelled
        already stays so; asked again, the newest grace time counts. Raises ``UnknownTask``, or ``TaskFinished`` when
        it ended otherwise.
        """
        async with self._store.transaction() as connection:
            requested = await cancelling.request(connection, task_id, grace_seconds)
            now = datetime.fromtimestamp(await clock.now(connection), UTC)
            if requested is not None and requested.never_sent:
                await end_unstarted(connection, [str(task_id)], [], TaskState.CANCELLED, now)
        if requested is not None and not requested.never_sent:
            await self._take_back(str(task_id), requested, grace_seconds, now)
        async with self._store.statement() as connection:
            row = await reading.task(connection, task_id)
        if row is None:
            raise UnknownTask
        state = TaskState(row["state"])
        if state in TERMINAL and state is not TaskState.CANCELLED:
            raise TaskFinished(f"The task has ended already: it is {state}.")
        return row

    async def _take_back(self, task_id: str, requested: CancelRequest, grace_seconds: float, now: datetime) -> None:
        async with self._store.statement() as connection:
            epoch = await epochs.current(connection)
        if epoch is None:
            return
        closed: list[str] = []
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                if not requested.running:
                    closed = await self._closer.close({task_id: requested.attempt}, epoch.epoch, TaskState.CANCELLED)
                if not closed:
                    await self._closer.ask({task_id: grace_seconds}, epoch.epoch)
        except TimeoutError:
            # The request is in the row: the sweep does what could not be done.
            return
        if not closed:
            return
        async with self._store.transaction() as connection:
            await end_unstarted(connection, [], closed, TaskState.CANCELLED, now)
