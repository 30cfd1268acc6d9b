"""Folds the deltas of TaskMetrics into the rollup, so that reading it stays cheap."""

from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.metrics import counters
from pointsman_service.store.store import Store

_DELTAS_A_PASS = 2000


class Rollup:
    """Safe in every process: a pass holds an advisory lock, and moves each delta in one transaction."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self.loop = Loop("rollup", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """Fold up to 2,000 deltas; True when there may be more."""
        async with self._store.transaction() as connection:
            return await counters.fold(connection, _DELTAS_A_PASS) == _DELTAS_A_PASS
