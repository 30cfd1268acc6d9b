"""Folds the deltas of TaskMetrics into its minutes, hours and days, so that reading them stays cheap."""

from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.metrics import carrying, folding
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_DELTAS_A_PASS = 2000


class Rollup:
    """Safe in every process: a pass holds an advisory lock, and moves each delta in one transaction."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._names = settings.metrics_names_a_day
        self.loop = Loop("rollup", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """Fold up to 2,000 deltas, and make the hours of one day that has only minutes; True when there may be more."""
        async with self._store.transaction() as connection:
            folded = await folding.fold(connection, _DELTAS_A_PASS, self._names)
        return await self._carry(folded) or folded.deltas == _DELTAS_A_PASS

    async def _carry(self, folded: folding.Folded) -> bool:
        if folded.kept.is_carried:
            return False
        async with self._store.transaction() as connection:
            day = await carrying.carry_day(connection)
        if day is None:
            log.info("hours and days are made of all minutes there are")
            return False
        log.info("hours and days are made of the minutes of a day", day=str(day.date()))
        return True
