"""End what was marked to be cancelled, as far as that can be done while a caller waits; the sweep does the rest."""

import asyncio

from pointsman_service.reconcile.cancelled import CancelledSweep
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store

_SECONDS = 3.0


class Withdrawer:
    """Runs the sweep ``cancelled`` for a caller who waits."""

    def __init__(self, store: Store, server: RedisServer, settings: Settings) -> None:
        self._sweep = CancelledSweep(store, server, settings)

    async def end(self) -> None:
        """Return once nothing is left that can be ended now, or after three seconds."""
        try:
            async with asyncio.timeout(_SECONDS):
                while await self._sweep.single_pass():
                    pass
        except TimeoutError:
            # Redis may be silent, or there is more than can be ended in that time.
            return
