"""The sweep ``unclaimed``: a task was sent again and again, and nobody began it. An attempt of it has failed.

Without an end to it a message that no worker can take to its gate would be sent for ever.
"""

from pointsman_contract import keys
from pointsman_contract.retry import RetryPolicy
from pointsman_service.claims.tail import Tail
from pointsman_service.fleet.liveness import Liveness
from pointsman_service.loops import Loop
from pointsman_service.redis import RedisServer, ScriptCall
from pointsman_service.settings import Settings
from pointsman_service.store.lost import unclaimed
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_TASKS_A_PASS = 500
_TAIL_SECONDS = 1.0
_NOBODY = ""
_POLICY = RetryPolicy()


class UnclaimedSweep:
    """Safe in every process, and after a death at any line: a claim is released once, a row moves once."""

    def __init__(self, store: Store, server: RedisServer, liveness: Liveness, settings: Settings) -> None:
        self._store = store
        self._server = server
        self._liveness = liveness
        self.loop = Loop("unclaimed sweep", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """End an attempt of up to 500 tasks; True when there may be more."""
        epoch = self._liveness.epoch
        if epoch is None:
            return False
        async with self._store.statement() as connection:
            found = await unclaimed.spent(connection, _TASKS_A_PASS)
        if not found:
            return False
        # An old message of it may have been claimed at last.
        tail = await Tail.now(self._server, epoch)
        if not await tail.recorded_within(self._store, _TAIL_SECONDS):
            return False
        calls: list[ScriptCall] = [
            ([keys.CONTROL, keys.claim(task.id)], [epoch], [task.attempt + 1, _NOBODY, keys.CLAIM_SECONDS])
            for task in found
        ]
        answers = await self._server.scripts("release", calls)
        released = [task for task, answer in zip(found, answers, strict=True) if answer == b"released"]
        if not released:
            return False
        async with self._store.transaction() as connection:
            followed, failed = await unclaimed.fail(connection, self._store.listeners, released, _POLICY)
        log.error("tasks were sent again and again and nobody began them", retried=followed, failed=failed)
        return len(found) == _TASKS_A_PASS
