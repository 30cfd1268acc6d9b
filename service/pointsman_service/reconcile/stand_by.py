"""What a reconciler that stands by has to have seen, so that it can act as soon as it leads."""

from collections.abc import Callable

from pointsman_service.fleet.liveness import Liveness
from pointsman_service.loops import Loop

_INTERVAL_SECONDS = 1.0


class StandByWatch:
    """Watches the workers, which costs PostgreSQL nothing; while this process leads its sweeps do."""

    def __init__(self, liveness: Liveness, leads: Callable[[], bool]) -> None:
        self._liveness = liveness
        self._leads = leads
        self.loop = Loop("stand-by watch", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Look once. Raises ``BrokerAway``."""
        if not self._leads():
            await self._liveness.look()
        return False
