"""Walk an act on many tasks, or take it back, for as long as a caller waits; the sweep does the rest."""

import asyncio
from uuid import UUID

from pointsman_service.operate.act import Act, acting, once_done
from pointsman_service.operate.withdraw import Withdrawer
from pointsman_service.reconcile.task_acts import Step, TaskActsSweep
from pointsman_service.settings import Settings
from pointsman_service.store.store import LockNotGot, Store
from pointsman_service.store.tasks import acts
from pointsman_service.store.tasks.acts import Stage

_SECONDS = 3.0
_LOOK_AGAIN_SECONDS = 0.05


class ActWalker:
    """Runs the sweep ``task acts`` for a caller who waits."""

    def __init__(self, store: Store, withdrawer: Withdrawer, settings: Settings) -> None:
        self._store = store
        self._withdrawer = withdrawer
        self._sweep = TaskActsSweep(store, settings)

    async def walk(self, act_id: UUID) -> Step:
        """Return once nothing is left of the act that can be done now, or after three seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SECONDS
        step = Step.MORE
        while step in (Step.MORE, Step.BUSY) and loop.time() < deadline:
            if step is Step.BUSY:
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            try:
                step = await self._sweep.walk(act_id)
            except LockNotGot:
                # One of its tasks changes just now.
                step = Step.BUSY
        return step

    async def take_back(self, act: Act, act_id: UUID) -> None:
        """Begin to undo an act of any kind, and go on for as long as a caller waits."""
        async with acting(self._store, act) as connection:
            undone = await acts.undo(connection, act_id)
            act.changed = undone is not None
            if undone is not None:
                act.was(undone.stage, Stage.UNDOING, tasks=undone.tasks)
        async with once_done():
            # What is to end must have ended before it is put back.
            if await self.walk(act_id) is not Step.OVER:
                await self._withdrawer.end()
                await self.walk(act_id)
