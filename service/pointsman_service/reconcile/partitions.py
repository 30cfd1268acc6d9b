"""The sweep ``partitions``: the days ahead have their partitions before a task of theirs ends."""

from pointsman_service.loops import Loop
from pointsman_service.store.store import Store
from pointsman_service.store.upkeep.indexes import lacking_indexes
from pointsman_service.store.upkeep.partitions import ensure_partitions
from pointsman_service.telemetry import logger

log = logger(__name__)

_INTERVAL_SECONDS = 3600.0


class PartitionSweep:
    """Safe in every process: a pass holds an advisory lock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.loop = Loop("partition sweep", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Make what is missing."""
        async with self._store.transaction() as connection:
            made = await ensure_partitions(connection)
            lacking = len(await lacking_indexes(connection))
        if made:
            log.info("partitions were made for finished tasks", days=len(made), last=made[-1])
        if lacking:
            log.warning("indexes of ended tasks are still to be built", indexes=lacking, by="index")
        return False
