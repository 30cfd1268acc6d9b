"""Rescue: an attempt whose worker is gone is ended from outside, first in Redis, then in its row."""

from collections.abc import Collection, Sequence

from pointsman_contract import keys
from pointsman_service.redis import RedisServer, ScriptCall
from pointsman_service.store.lost import rescuing
from pointsman_service.store.lost.rescuing import Rescued, Running
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)


class Rescuer:
    """Safe in every process, and after a death at any line: a claim is released once, a row moves once.

    The caller has seen the recorder pass whatever these workers reported.
    """

    def __init__(self, store: Store, server: RedisServer) -> None:
        self._store = store
        self._server = server

    async def rescue(self, attempts: Sequence[Running], epoch: int, stopped: Collection[str] = frozenset()) -> int:
        """How many of these attempts ended now; ``stopped`` are workers that were told to stop before they went.

        Raises ``BrokerAway`` and the store's errors; then call it again.
        """
        if not attempts:
            return 0
        calls: list[ScriptCall] = [
            ([keys.CONTROL, keys.claim(one.id)], [epoch], [one.attempt, one.worker, keys.CLAIM_SECONDS])
            for one in attempts
        ]
        answers = await self._server.scripts("release", calls)
        released = [one for one, answer in zip(attempts, answers, strict=True) if answer == b"released"]
        if not released:
            return 0
        async with self._store.transaction() as connection:
            rescued = await rescuing.interrupt(connection, self._store.listeners, released, stopped)
        _log(rescued)
        return rescued.waiting + rescued.quarantined + rescued.failed


def _log(rescued: Rescued) -> None:
    if rescued.waiting:
        log.warning("attempts ended with their worker; their tasks are sent again", tasks=rescued.waiting)
    if rescued.quarantined:
        log.error("tasks lost their worker again and again; they wait to run alone", tasks=rescued.quarantined)
    if rescued.failed:
        log.error("tasks ran alone and lost their worker again; they are failed", tasks=rescued.failed)
