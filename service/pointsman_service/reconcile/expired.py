"""The sweep ``expired``: a task that did not start by its ``expires_at`` ends.

One that was sent ends only through its claim: whoever closes it first, this sweep or the gate, decides.
"""

from datetime import UTC, datetime

from pointsman_contract.states import TaskState
from pointsman_service.claims.closing import Closer
from pointsman_service.loops import Loop
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store import clock
from pointsman_service.store.queues import dispatching
from pointsman_service.store.store import Store
from pointsman_service.store.streams import epochs
from pointsman_service.store.tasks.ending import end_unstarted
from pointsman_service.telemetry import logger

log = logger(__name__)

_TASKS_A_PASS = 500


class ExpiredSweep:
    """Safe in every process: the DELETE of the row is the fence."""

    def __init__(self, store: Store, server: RedisServer, settings: Settings) -> None:
        self._store = store
        self._closer = Closer(store, server)
        self.loop = Loop("expired sweep", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """End up to 500 tasks that were never sent, and 500 that were; True when there may be more."""
        async with self._store.statement() as connection:
            never_sent, sent = await dispatching.expired_unstarted(connection, _TASKS_A_PASS)
            epoch = await epochs.current(connection)
            now = datetime.fromtimestamp(await clock.now(connection), UTC)
        closed = await self._closer.close(sent, epoch.epoch, TaskState.EXPIRED) if epoch is not None else []
        if not never_sent and not closed:
            return False
        async with self._store.transaction() as connection:
            ended = await end_unstarted(connection, self._store.listeners, never_sent, closed, TaskState.EXPIRED, now)
        log.info("tasks expired before they started", tasks=ended)
        return ended >= _TASKS_A_PASS
