"""Taking the right to run away from tasks that were sent: only then may their rows end from outside. What runs is asked
to end.
"""

import asyncio
from collections.abc import Mapping

from contract import keys
from contract.failpoints import Failpoint, reach
from contract.states import TaskState
from service.reconcile.tail import Tail
from service.redis import BrokerAway, RedisServer, ScriptCall
from service.store.store import Store

_TAIL_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 0.02


class Closer:
    """Closes claims, and asks what runs to end."""

    def __init__(self, store: Store, server: RedisServer) -> None:
        self._store = store
        self._server = server

    async def close(self, attempts: Mapping[str, int], epoch: int, reason: TaskState) -> list[str]:
        """Those of the tasks (id to the attempt its row knows) that will not run any more.

        The others run, or ran, and their events are on the way; or Redis is away. Waits up to a second for the
        recorder to pass what was reported before.
        """
        if not attempts:
            return []
        try:
            if not await self._is_recorded(epoch):
                return []
            calls: list[ScriptCall] = [
                ([keys.CONTROL, keys.claim(task_id)], [epoch], [str(reason), keys.CLAIM_SECONDS, attempt])
                for task_id, attempt in attempts.items()
            ]
            answers = await self._server.scripts("close", calls)
        except BrokerAway:
            return []
        reach(Failpoint.CLAIMS_CLOSED)
        return [task_id for task_id, answer in zip(attempts, answers, strict=True) if answer == b"closed"]

    async def ask(self, grace: Mapping[str, float], epoch: int) -> int:
        """Ask the workers that run these tasks (id to grace time in seconds) to end them. Returns how many run.

        Redis may be away, or a claim not be there yet: ask again.
        """
        calls: list[ScriptCall] = [
            ([keys.CONTROL, keys.claim(task_id)], [epoch], [seconds]) for task_id, seconds in grace.items()
        ]
        try:
            answers = await self._server.scripts("cancel", calls) if calls else []
        except BrokerAway:
            return 0
        return sum(answer == b"running" for answer in answers)

    async def _is_recorded(self, epoch: int) -> bool:
        """A task may have run and its claim been forgotten before the recorder got to it."""
        tail = await Tail.now(self._server, epoch)
        deadline = asyncio.get_running_loop().time() + _TAIL_SECONDS
        pause = _LOOK_AGAIN_SECONDS
        while not await tail.is_recorded(self._store):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(pause)
            # Many may wait for one recorder: they must not take the connections of everybody else.
            pause *= 2
        return True
