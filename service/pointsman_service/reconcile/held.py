"""The sweep ``held``: a task whose type no worker of its queue knows waits until one does.

Where some living worker knows it, or nobody can say, it tries again every ten seconds: while two versions of a worker
share a queue, either may meet the task.
"""

import time

from pointsman_service.fleet.serving import ServingView
from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.queues import unserved
from pointsman_service.store.queues.unserved import Place
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_TASKS_A_PASS = 500
_INTERVAL_SECONDS = 1.0
_AGAIN_SECONDS = 10.0


class HeldSweep:
    """Safe in every process: rows another one holds are skipped."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._serving = ServingView(store, settings)
        self._unserved: set[Place] = set()
        self._let_go: set[Place] = set()
        self._again_at = float("-inf")
        self.loop = Loop("held sweep", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Release up to 500 tasks; True when more may go at once, for a worker came that knows their type."""
        async with self._store.statement() as connection:
            places = {(found.queue, found.task_type) for found in await unserved.held_places(connection)}
        if not places:
            self._unserved, self._let_go = set(), set()
            return False
        await self._serving.single_pass()
        now_unserved = {place for place in places if self._serving.types.is_unserved(*place)}
        self._say(now_unserved - self._unserved)
        self._let_go = (self._let_go | self._unserved) & places - now_unserved
        self._unserved = now_unserved
        if self._let_go:
            return await self._release(self._let_go) == _TASKS_A_PASS
        now = time.monotonic()
        if now >= self._again_at:
            # What nobody can say, and what comes back at once, does not spin.
            self._again_at = now + _AGAIN_SECONDS
            await self._release(places - now_unserved)
        return False

    async def _release(self, places: set[Place]) -> int:
        if not places:
            return 0
        async with self._store.statement() as connection:
            released = await unserved.release(connection, places, _TASKS_A_PASS)
        if released < _TASKS_A_PASS:
            self._let_go -= places
        if released:
            log.info("tasks held for an unknown task type try again", tasks=released)
        return released

    def _say(self, places: set[Place]) -> None:
        for queue, task_type in sorted(places):
            log.warning(
                "tasks are held: no living worker of their queue knows their type",
                queue=queue,
                task_type=task_type,
                nodes=self._serving.types.nodes_of(queue),
            )
