"""The sweep ``cancelled``: requests to cancel that could not be done at once.

Redis was away, the recorder is behind, an attempt runs, or the process that took the request died. What runs is asked
to end again and again: Redis may have forgotten that it was.
"""

from datetime import UTC, datetime

from pointsman_contract.states import TaskState
from pointsman_service.claims.closing import Closer
from pointsman_service.loops import Loop
from pointsman_service.redis import BrokerAway, RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store import clock
from pointsman_service.store.store import Store
from pointsman_service.store.streams import epochs
from pointsman_service.store.tasks import cancelling
from pointsman_service.store.tasks.ending import end_unstarted
from pointsman_service.telemetry import logger

log = logger(__name__)

_TASKS_A_PASS = 500
_PARTS_SHUT = 40
"""So many more parts of as many tasks are told to the gate in a pass."""


class CancelledSweep:
    """Safe in every process: the DELETE of the row is the fence."""

    def __init__(self, store: Store, server: RedisServer, settings: Settings) -> None:
        self._store = store
        self._closer = Closer(store, server)
        self.loop = Loop("cancelled sweep", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """End up to 500 tasks; True when there may be more. Of what was sent, up to 20,000 do not start any more, also
        while the recorder is too far behind for their rows to end.
        """
        async with self._store.statement() as connection:
            never_sent, sent = await cancelling.open_requests(connection, _TASKS_A_PASS)
            running = await cancelling.running_requests(connection, _TASKS_A_PASS)
            epoch = await epochs.current(connection)
            now = datetime.fromtimestamp(await clock.now(connection), UTC)
        closed: list[str] = []
        if epoch is not None:
            await self._closer.ask(running, epoch.epoch)
            closed = await self._close(sent, epoch.epoch)
        if not never_sent and not closed:
            return False
        async with self._store.transaction() as connection:
            ended = await end_unstarted(connection, self._store.listeners, never_sent, closed, TaskState.CANCELLED, now)
        log.info("tasks were cancelled", tasks=ended)
        return ended >= _TASKS_A_PASS

    async def _close(self, sent: dict[str, int], epoch: int) -> list[str]:
        if not sent:
            return []
        try:
            shut = await self._closer.shut(sent, epoch, TaskState.CANCELLED)
            closed = await self._closer.recorded(shut)
            if not closed and len(sent) == _TASKS_A_PASS:
                # The recorder is behind: what follows must not start while these wait for it.
                await self._shut_others(max(sent), epoch)
            return closed
        except BrokerAway:
            return []

    async def _shut_others(self, above: str, epoch: int) -> None:
        for _ in range(_PARTS_SHUT):
            async with self._store.statement() as connection:
                part = await cancelling.sent_requests(connection, above, _TASKS_A_PASS)
            await self._closer.shut(part, epoch, TaskState.CANCELLED)
            if len(part) < _TASKS_A_PASS:
                return
            above = max(part)
