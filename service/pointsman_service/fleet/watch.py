"""Watches who lives, for whoever has no sweep that does it already."""

from collections.abc import Callable

from pointsman_service.fleet.liveness import Liveness
from pointsman_service.loops import Loop

_INTERVAL_SECONDS = 1.0


class WorkerLivenessWatch:
    """Watches the workers, which costs PostgreSQL nothing: a reconciler that stands by has seen them when it leads, and
    an API knows them when there is no reconciler.
    """

    def __init__(
        self,
        liveness: Liveness,
        is_watched: Callable[[], bool] = lambda: False,
        interval_seconds: float = _INTERVAL_SECONDS,
    ) -> None:
        """``is_watched``: whether somebody in this process looks already."""
        self._liveness = liveness
        self._is_watched = is_watched
        self.loop = Loop("worker watch", self.single_pass, interval_seconds)

    async def single_pass(self) -> bool:
        """Look once. Raises ``BrokerAway``."""
        if not self._is_watched():
            await self._liveness.look()
        return False
