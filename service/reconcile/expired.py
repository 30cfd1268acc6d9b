"""The sweep ``expired``: a task that did not start by its ``expires_at`` ends.

One that was sent ends only through its claim: whoever closes it first, this sweep or the gate, decides.
"""

from datetime import UTC, datetime

from contract import keys
from contract.states import Place, TaskState
from service.loops import Loop
from service.redis import BrokerAway, RedisServer, ScriptCall
from service.settings import Settings
from service.store import clock, dispatching, epochs
from service.store.ending import end_unstarted
from service.store.store import Store
from service.telemetry import logger

log = logger(__name__)

_TASKS_A_PASS = 500


class ExpiredSweep:
    """Safe in every process: the DELETE of the row is the fence."""

    def __init__(self, store: Store, server: RedisServer, settings: Settings) -> None:
        self._store = store
        self._server = server
        self.loop = Loop("expired sweep", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """End up to 500 tasks; True when there may be more."""
        async with self._store.statement() as connection:
            found = await dispatching.expired_unstarted(connection, _TASKS_A_PASS)
            epoch = await epochs.current(connection)
            now = datetime.fromtimestamp(await clock.now(connection), UTC)
        in_postgres = [task_id for task_id, place in found if place != Place.SENT]
        sent = [task_id for task_id, place in found if place == Place.SENT]
        closed = await self._close(sent, epoch.epoch) if sent and epoch is not None else []
        if not in_postgres and not closed:
            return False
        async with self._store.transaction() as connection:
            ended = await end_unstarted(connection, in_postgres, closed, TaskState.EXPIRED, now)
        log.info("tasks expired before they started", tasks=ended)
        return len(found) == _TASKS_A_PASS and ended > 0

    async def _close(self, ids: list[str], epoch: int) -> list[str]:
        """Those whose right to run was taken away; the others run, or ran, and their events are on the way."""
        try:
            calls: list[ScriptCall] = [
                ([keys.CONTROL, keys.claim(task_id)], [epoch], ["expired", keys.CLAIM_SECONDS]) for task_id in ids
            ]
            answers = await self._server.scripts("close", calls)
        except BrokerAway:
            return []
        return [task_id for task_id, answer in zip(ids, answers, strict=True) if answer == b"closed"]
