"""The sweep ``unacked``: fetched messages that kombu would give back after an hour though their sending is over.

Their worker died while it ran them, or between its report and the acknowledgement.
"""

from pointsman_service.broker import Broker
from pointsman_service.loops import Loop
from pointsman_service.store.lost import missing
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_MESSAGES_A_PASS = 2000
_INTERVAL_SECONDS = 5.0


class UnackedSweep:
    """Safe in every process: a worker that does acknowledge one of them later finds nothing to do."""

    def __init__(self, store: Store, broker: Broker) -> None:
        self._store = store
        self._broker = broker
        self.loop = Loop("unacked sweep", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Look at the 2,000 messages that were fetched the longest ago."""
        fetched = await self._broker.fetched(_MESSAGES_A_PASS)
        if not fetched:
            return False
        async with self._store.statement() as connection:
            over = await missing.over(connection, fetched)
        await self._broker.forget(over)
        if over:
            log.info("fetched messages were over and are forgotten", messages=len(over))
        return False
