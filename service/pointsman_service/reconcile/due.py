"""The sweep ``due``: a task whose time has come waits for the dispatcher."""

from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.queues import dispatching
from pointsman_service.store.store import Store

_TASKS_A_PASS = 1000


class DueSweep:
    """Safe in every process: rows another one holds are skipped."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self.loop = Loop("due sweep", self.single_pass, settings.due_interval_seconds)

    async def single_pass(self) -> bool:
        """Wake up to 1,000 tasks; True when there may be more."""
        async with self._store.statement() as connection:
            return await dispatching.wake_due(connection, _TASKS_A_PASS) == _TASKS_A_PASS
