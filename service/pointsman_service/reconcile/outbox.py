"""The sweep ``outbox``: what a process committed and did not live to publish waits for the dispatcher again."""

from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.queues import dispatching
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_ROWS_A_PASS = 100


class OutboxSweep:
    """Safe in every process. A task that was published after all is met by the gate as a duplicate."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._age_seconds = settings.outbox_age_seconds
        self.loop = Loop("outbox sweep", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """Take back the tasks of up to 100 outbox rows; True when there may be more."""
        async with self._store.statement() as connection:
            rows, tasks = await dispatching.take_back_left_behind(connection, self._age_seconds, _ROWS_A_PASS)
        if rows:
            log.info("commits were left unpublished; their tasks are sent again", outbox_rows=rows, tasks=tasks)
        return rows == _ROWS_A_PASS
