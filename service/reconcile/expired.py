"""The sweep ``expired``: a task that did not start by its ``expires_at`` ends.

One that was sent ends only through its claim: whoever closes it first, this sweep or the gate, decides.
"""

import asyncio
from datetime import UTC, datetime

from contract import keys
from contract.states import TaskState
from service.loops import Loop
from service.reconcile.tail import Tail
from service.redis import BrokerAway, RedisServer, ScriptCall
from service.settings import Settings
from service.store import clock, dispatching, epochs
from service.store.ending import end_unstarted
from service.store.store import Store
from service.telemetry import logger

log = logger(__name__)

_TASKS_A_PASS = 500
_TAIL_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 0.02


class ExpiredSweep:
    """Safe in every process: the DELETE of the row is the fence."""

    def __init__(self, store: Store, server: RedisServer, settings: Settings) -> None:
        self._store = store
        self._server = server
        self.loop = Loop("expired sweep", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """End up to 500 tasks that were never sent, and 500 that were; True when there may be more."""
        async with self._store.statement() as connection:
            never_sent, sent = await dispatching.expired_unstarted(connection, _TASKS_A_PASS)
            epoch = await epochs.current(connection)
            now = datetime.fromtimestamp(await clock.now(connection), UTC)
        closed = await self._close(sent, epoch.epoch) if sent and epoch is not None else []
        if not never_sent and not closed:
            return False
        async with self._store.transaction() as connection:
            ended = await end_unstarted(connection, never_sent, closed, TaskState.EXPIRED, now)
        log.info("tasks expired before they started", tasks=ended)
        return ended >= _TASKS_A_PASS

    async def _close(self, ids: list[str], epoch: int) -> list[str]:
        """Those whose right to run was taken away; the others run, or ran, and their events are on the way."""
        try:
            if not await self._is_recorded(epoch):
                return []
            calls: list[ScriptCall] = [
                ([keys.CONTROL, keys.claim(task_id)], [epoch], ["expired", keys.CLAIM_SECONDS]) for task_id in ids
            ]
            answers = await self._server.scripts("close", calls)
        except BrokerAway:
            return []
        return [task_id for task_id, answer in zip(ids, answers, strict=True) if answer == b"closed"]

    async def _is_recorded(self, epoch: int) -> bool:
        """A task may have run and its claim been forgotten before the recorder got to it."""
        tail = await Tail.now(self._server, epoch)
        deadline = asyncio.get_running_loop().time() + _TAIL_SECONDS
        while not await tail.is_recorded(self._store):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        return True
