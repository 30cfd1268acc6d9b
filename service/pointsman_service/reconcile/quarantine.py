"""The sweep ``quarantine``: a task that lost its worker too often runs once with nothing beside it.

It waits until the pools of its queue have nothing else; then their queues are kept empty until it has run. Ended by
itself, however, it is cleared. If its worker dies again, the rescue fails it: nothing else can have been the cause.
"""

from pointsman_contract.events import queues_in_hand
from pointsman_service.fleet.liveness import Liveness
from pointsman_service.loops import Loop
from pointsman_service.store.queues import quarantine
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_TASKS_A_PASS = 20
_INTERVAL_SECONDS = 1.0
_SETTLE_SECONDS = 2.0
"""Until every API process knows that it must not publish there."""
_PATIENCE_SECONDS = 60.0
"""If the queues are not empty by then, something there is stuck, and they are given back for a while."""


class QuarantineSweep:
    """Safe in every process: a pass holds an advisory lock."""

    def __init__(self, store: Store, liveness: Liveness) -> None:
        self._store = store
        self._liveness = liveness
        self.loop = Loop("quarantine sweep", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Take the next step of every task in quarantine."""
        async with self._store.statement() as connection:
            idle = not await quarantine.kept_queues(connection) and not await quarantine.waiting(connection, 1)
        if idle:
            return False
        async with self._store.transaction() as connection:
            await quarantine.lock(connection)
            opened = await quarantine.open_queues(connection, _PATIENCE_SECONDS)
            gone = await quarantine.let_go(connection, _SETTLE_SECONDS)
            for task in await quarantine.waiting(connection, _TASKS_A_PASS):
                queues = self._beside(task.queue)
                if queues and await quarantine.keep_empty(connection, task.id, sorted(queues)):
                    log.warning(
                        "queues are kept empty for a task in quarantine", task_id=task.id, queues=sorted(queues)
                    )
        if gone:
            log.warning("tasks in quarantine run alone", tasks=gone)
        if opened:
            log.info("queues kept for a task in quarantine are given back", queues=opened)
        return False

    def _beside(self, queue: str) -> set[str]:
        """Every queue that a living worker of this queue may run tasks of; empty when none lives."""
        beats = self._liveness.beats().values()
        return {other for beat in beats if queue in beat["queues"] for other in queues_in_hand(beat)}
