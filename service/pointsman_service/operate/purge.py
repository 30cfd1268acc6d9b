"""Purge a queue: end what has not started, if it is no more than the caller believes."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from pointsman_contract.counted import counted
from pointsman_contract.states import TaskState
from pointsman_service.callers import Caller
from pointsman_service.errors import CountDiffers
from pointsman_service.operate.act import Act, ActKind, acting, once_done
from pointsman_service.operate.pause import check_queue
from pointsman_service.operate.withdraw import Withdrawer
from pointsman_service.settings import Settings
from pointsman_service.store import clock
from pointsman_service.store.store import Store
from pointsman_service.store.tasks import cancelling
from pointsman_service.telemetry import logger

log = logger(__name__)

PURGEABLE = (TaskState.QUEUED, TaskState.SCHEDULED, TaskState.HELD, TaskState.RETRYING)


@dataclass(frozen=True, slots=True)
class PurgeRequest:
    """Which tasks of a queue, and how many the caller believes there are."""

    states: Collection[TaskState]
    submitted_before: datetime | None = None
    """Only what was submitted earlier; None: before now."""
    expected: int | None = None
    """Refused when there are more or fewer."""
    at_most: int | None = None
    """Refused when there are more."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge did."""

    tasks: int
    """Those it is about."""
    submitted_before: datetime
    """What came then or later is not touched."""
    pending: int
    """Of these and of earlier purges of the queue: not ended yet. Some may have started in that moment, and go on."""


class Purger:
    """Purges for one API process."""

    def __init__(self, store: Store, withdrawer: Withdrawer, settings: Settings) -> None:
        self._store = store
        self._withdrawer = withdrawer
        self._topology = settings.topology

    async def count(self, queue: str, asked: PurgeRequest) -> Purged:
        """What a purge would be about now. Raises ``UnknownQueueName``."""
        check_queue(self._topology, queue)
        async with self._store.statement() as connection:
            before = await clock.not_later_than_now(connection, asked.submitted_before)
            tasks = await cancelling.count_unstarted(connection, queue, asked.states, before)
            return Purged(tasks, before, await cancelling.count_purged(connection, queue))

    async def purge(self, caller: Caller, queue: str, asked: PurgeRequest, reason: str | None = None) -> Purged:
        """End the unstarted tasks of a queue as ``cancelled``; from the commit on none of them is sent.

        What is submitted from now on is never touched. One that was sent ends only through its claim: one that a worker
        has started meanwhile goes on as if nothing had been asked. What cannot be ended at once the sweep ends. Raises
        ``CountDiffers`` (nothing was done) and ``UnknownQueueName``.
        """
        check_queue(self._topology, queue)
        act = Act(ActKind.PURGE, caller, queue, reason)
        async with acting(self._store, act) as connection:
            before = await clock.not_later_than_now(connection, asked.submitted_before)
            tasks = await cancelling.purge(connection, queue, asked.states, before)
            if asked.expected is not None and tasks != asked.expected:
                raise CountDiffers(f"{counted(tasks, 'task')} would be purged, not {asked.expected}; nothing was done.")
            if asked.at_most is not None and tasks > asked.at_most:
                raise CountDiffers(
                    f"{counted(tasks, 'task')} would be purged, more than {asked.at_most}; nothing was done."
                )
            act.changed = tasks > 0
        log.info("a queue was purged", queue=queue, tasks=tasks)
        async with once_done():
            await self._withdrawer.end()
            async with self._store.statement() as connection:
                return Purged(tasks, before, await cancelling.count_purged(connection, queue))
