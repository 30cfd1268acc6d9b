"""The sweep ``cancelled``: requests to cancel that could not be done at once.

Redis was away, an attempt runs, or the process that took the request died. What runs is asked to end again and again:
Redis may have forgotten that it was.
"""

from datetime import UTC, datetime

from contract.states import TaskState
from service.loops import Loop
from service.reconcile.closing import Closer
from service.redis import RedisServer
from service.settings import Settings
from service.store import cancelling, clock, epochs
from service.store.ending import end_unstarted
from service.store.store import Store
from service.telemetry import logger

log = logger(__name__)

_TASKS_A_PASS = 500


class CancelledSweep:
    """Safe in every process: the DELETE of the row is the fence."""

    def __init__(self, store: Store, server: RedisServer, settings: Settings) -> None:
        self._store = store
        self._closer = Closer(store, server)
        self.loop = Loop("cancelled sweep", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """End up to 500 tasks; True when there may be more."""
        async with self._store.statement() as connection:
            never_sent, sent = await cancelling.open_requests(connection, _TASKS_A_PASS)
            running = await cancelling.running_requests(connection, _TASKS_A_PASS)
            epoch = await epochs.current(connection)
            now = datetime.fromtimestamp(await clock.now(connection), UTC)
        closed: list[str] = []
        if epoch is not None:
            await self._closer.ask(running, epoch.epoch)
            closed = await self._closer.close(sent, epoch.epoch, TaskState.CANCELLED)
        if not never_sent and not closed:
            return False
        async with self._store.transaction() as connection:
            ended = await end_unstarted(connection, never_sent, closed, TaskState.CANCELLED, now)
        log.info("tasks were cancelled", tasks=ended)
        return ended >= _TASKS_A_PASS
