"""The sweep ``held``: a task that met a worker which does not know its type tries again, until one that does gets it.

Level-triggered: while two versions of a worker share a queue, either may meet the task.
"""

from pointsman_service.loops import Loop
from pointsman_service.store.store import Store
from pointsman_service.store.workers import catalogue
from pointsman_service.telemetry import logger

log = logger(__name__)

_TASKS_A_PASS = 500
_INTERVAL_SECONDS = 10.0


class HeldSweep:
    """Safe in every process: rows another one holds are skipped."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.loop = Loop("held sweep", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Release up to 500 tasks. The next pass waits its time, so that one nobody knows does not spin."""
        async with self._store.statement() as connection:
            released = await catalogue.release_held(connection, _TASKS_A_PASS)
        if released:
            log.info("tasks held for an unknown task type try again", tasks=released)
        return False
