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
from pointsman_service.store.store import Connection, Store
from pointsman_service.store.tasks import purging
from pointsman_service.store.tasks.purging import MOST_LOOKED_AT, Unstarted
from pointsman_service.telemetry import logger

log = logger(__name__)

MOST_COUNTED = MOST_LOOKED_AT
"""Tasks that came since a moment, and tasks that are to end, as far as a count looks at them."""
_FEW = 20_000
"""Tasks of a queue that are gathered by themselves, whatever other queues hold."""
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
    tasks_is_most: bool = False
    """There may be fewer. Only where none was ended."""

    @property
    def pending_is_least(self) -> bool:
        """Whether there may be more."""
        return self.pending >= MOST_COUNTED


class Purger:
    """Purges for one API process."""

    def __init__(self, store: Store, withdrawer: Withdrawer, settings: Settings) -> None:
        self._store = store
        self._withdrawer = withdrawer
        self._topology = settings.topology

    async def count(self, queue: str, asked: PurgeRequest) -> Purged:
        """What a purge would be about now, from numbers that are kept: it costs the same however many wait. Raises
        ``UnknownQueueName``.
        """
        check_queue(self._topology, queue)
        async with self._store.statement() as connection:
            before, there = await _count(connection, queue, asked)
            return Purged(there.tasks, before, await purging.pending(connection, queue), there.is_most)

    async def purge(self, caller: Caller, queue: str, asked: PurgeRequest, reason: str | None = None) -> Purged:
        """End the unstarted tasks of a queue as ``cancelled``; from the commit on none of them is sent.

        What is submitted from now on is never touched. One that was sent ends only through its claim: one that a worker
        has started meanwhile goes on as if nothing had been asked. What cannot be ended at once the sweep ends. Raises
        ``CountDiffers`` (nothing was done) and ``UnknownQueueName``.
        """
        check_queue(self._topology, queue)
        act = Act(ActKind.PURGE, caller, queue, reason)
        async with acting(self._store, act) as connection:
            before, there = await _count(connection, queue, asked)
            most = min((n for n in (asked.expected, asked.at_most) if n is not None), default=None)
            is_few = there.tasks <= _FEW
            tasks = await purging.purge(connection, queue, asked.states, before, most, is_few=is_few)
            if most is not None and (tasks > most or (asked.expected is not None and tasks != asked.expected)):
                raise CountDiffers(_refusal(asked, tasks, there))
            act.changed = tasks > 0
            act.was(max(there.tasks, tasks), max(there.tasks - tasks, 0))
        log.info("a queue was purged", queue=queue, tasks=tasks)
        async with once_done():
            await self._withdrawer.end()
            async with self._store.statement() as connection:
                return Purged(tasks, before, await purging.pending(connection, queue))


async def _count(connection: Connection, queue: str, asked: PurgeRequest) -> tuple[datetime, Unstarted]:
    before = await clock.not_later_than_now(connection, asked.submitted_before)
    is_now = asked.submitted_before is None or before < asked.submitted_before
    return before, await purging.count(connection, queue, asked.states, before, is_now=is_now)


def _refusal(asked: PurgeRequest, tasks: int, there: Unstarted) -> str:
    """Of a purge that found ``tasks``: all of them, or one more than it may end."""
    is_all = asked.expected is not None and tasks < asked.expected
    found = tasks if is_all else max(tasks, there.tasks)
    wanted = f"more than {asked.at_most}" if asked.expected in (None, found) else f"not {asked.expected}"
    up_to = "up to " if there.is_most and not is_all else ""
    return f"{up_to}{counted(found, 'task')} would be purged, {wanted}; nothing was done."
