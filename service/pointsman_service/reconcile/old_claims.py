"""The sweep ``old claims``: claims that came back with old data and say that a finished task runs.

Such a claim has no end, and nobody will report one: its worker did so before Redis forgot it. What stands of the old
epoch cannot run by it either, for a message of another epoch asks.
"""

from pointsman_contract import keys
from pointsman_service.loops import Loop
from pointsman_service.redis import RedisServer, ScriptCall
from pointsman_service.store.lost import missing
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_KEYS_A_PASS = 1000
_INTERVAL_SECONDS = 2.0


class OldClaimsSweep:
    """Looks at every key once in each epoch, a part in a pass. Safe in every process."""

    def __init__(self, store: Store, server: RedisServer) -> None:
        self._store = store
        self._server = server
        self._epoch: bytes | None = None
        self._cursor: bytes | None = b"0"
        """Where the next pass goes on; None once this epoch's keys were all looked at."""
        self.loop = Loop("old claims sweep", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Look at about 1,000 keys; True while there are more."""
        epoch, is_open = await self._server.command("HMGET", keys.CONTROL, "epoch", "open")
        if epoch is None or is_open != b"1":
            return False
        if epoch != self._epoch:
            self._epoch, self._cursor = epoch, b"0"
        if self._cursor is None:
            return False
        cursor, found = await self._server.command(
            "SCAN", self._cursor, "MATCH", f"{keys.CLAIM_PREFIX}*", "COUNT", _KEYS_A_PASS, "TYPE", "hash"
        )
        await self._forget([key.decode().removeprefix(keys.CLAIM_PREFIX) for key in found])
        self._cursor = None if cursor == b"0" else cursor
        return self._cursor is not None

    async def _forget(self, tasks: list[str]) -> None:
        claims = await self._server.pipeline([("HMGET", keys.claim(task), "state", "token") for task in tasks])
        running = {task: token for task, (state, token) in zip(tasks, claims, strict=True) if state == b"running"}
        if not running:
            return
        # After the claims: a task that is over by now was over, or its outcome is said, and then the claim is done.
        async with self._store.statement() as connection:
            finished = await missing.finished(connection, list(running))
        calls: list[ScriptCall] = [([keys.claim(task)], [], [running[task]]) for task in finished]
        forgotten = sum(await self._server.scripts("forget", calls)) if calls else 0
        if forgotten:
            log.info("claims of finished tasks came back with old data and are forgotten", claims=forgotten)
