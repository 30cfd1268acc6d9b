"""The sweep ``dead letters``: their rows are those of the tasks that failed and were not run again.

Whoever ends a task or runs it again writes that down itself. This adds those that failed before there were such rows,
and puts right what a process of the release before could not write.
"""

from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.tasks import setting_right
from pointsman_service.telemetry import logger

log = logger(__name__)

_LOOKED_AT = 2_000
_ROUND_SECONDS = 600.0


class DeadLettersSweep:
    """Safe in every process: who looks at a part has the row of the walk locked."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self.loop = Loop("dead letters sweep", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """Look at the next 2,000 failed tasks, round after round; True while they are not complete and more of a round
        is left.
        """
        async with self._store.transaction() as connection:
            looked = await setting_right.part(connection, _LOOKED_AT, _ROUND_SECONDS)
        if looked is None:
            return False
        if looked.rounds >= setting_right.ROUNDS_AT_FIRST and (looked.added or looked.taken_away):
            log.info("dead letters were put right", added=looked.added, taken_away=looked.taken_away)
        # Afterwards there is no hurry.
        return not looked.is_over and looked.rounds < setting_right.ROUNDS_AT_FIRST
