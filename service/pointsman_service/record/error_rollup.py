"""Folds what failed into the groups of its causes, and opens again those that came back; and into the numbers of dead
letters.
"""

from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.errors import burying, folding
from pointsman_service.store.store import Store

_DELTAS_A_PASS = 2000


class ErrorRollup:
    """Safe in every process: a pass holds an advisory lock, and moves each delta in one transaction."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self.loop = Loop("error rollup", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """Fold up to 2,000 deltas; True when there may be more."""
        async with self._store.transaction() as connection:
            failures = await folding.fold(connection, _DELTAS_A_PASS)
            letters = await burying.fold(connection, _DELTAS_A_PASS)
        return _DELTAS_A_PASS in (failures, letters)
