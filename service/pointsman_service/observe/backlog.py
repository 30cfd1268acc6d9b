"""How much is due and not started, and since when."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pointsman_contract.states import TaskState
from pointsman_service.observe.kept import Kept
from pointsman_service.store.queues import backlog as numbers
from pointsman_service.store.queues import of_callers
from pointsman_service.store.store import Store

_KEPT_SECONDS = 1.0
_REST = 10.0
"""Counting what is sent takes at most a tenth of one connection's time, however much that is."""


@dataclass(slots=True)
class Backlog:
    """The unfinished tasks of one queue."""

    depth: int = 0
    """Due and not started."""
    oldest_wait_seconds: float | None = None
    """Since the oldest of them was due."""
    waiting: int = 0
    """Those of them that are not on the broker."""
    by_state: dict[str, int] = field(default_factory=dict)
    held_by: dict[str, int] = field(default_factory=dict)
    """Of those that are held: how many for each reason."""

    @property
    def on_broker(self) -> int:
        """Those of ``depth`` that were sent: on the broker, or on their way into a worker."""
        return self.depth - self.waiting

    def of(self, state: TaskState) -> int:
        """How many there are in one state."""
        return self.by_state.get(state, 0)


def backlogs(rows: Iterable[Mapping[str, Any]], queues: Iterable[str]) -> dict[str, Backlog]:
    """By queue, from ``store.queues.backlog.unfinished``; queues without a task and queues no longer configured are
    there too.
    """
    found = {queue: Backlog() for queue in queues}
    for row in rows:
        backlog = found.setdefault(row["queue"], Backlog())
        backlog.by_state[row["state"]] = backlog.by_state.get(row["state"], 0) + row["tasks"]
        if row["state"] == TaskState.HELD:
            backlog.held_by[row["held_reason"] or ""] = row["tasks"]
        if row["state"] == TaskState.QUEUED:
            backlog.depth += row["tasks"]
            known = [age for age in (backlog.oldest_wait_seconds, row["oldest_seconds"]) if age is not None]
            backlog.oldest_wait_seconds = max(known, default=None)
            if not row["sent"]:
                backlog.waiting = row["tasks"]
    return found


async def read(store: Store, queues: Iterable[str]) -> dict[str, Backlog]:
    """The backlog of every queue, asked now. Raises the store's errors."""
    async with store.statement() as connection:
        return backlogs(await numbers.unfinished(connection), queues)


async def waiting_of(store: Store, queues: Sequence[str], most: Mapping[str, int]) -> Mapping[str, int]:
    """How many tasks of each of these callers are due and not started, asked now; no more of one than is said beside
    its name are surely counted. Raises the store's errors.
    """
    async with store.statement() as connection:
        return await of_callers.waiting(connection, most, queues)


class BacklogWatch:
    """Asks at most once a second."""

    def __init__(self, store: Store, queues: Iterable[str]) -> None:
        self._store = store
        self._queues = tuple(queues)
        self._kept = Kept(self._read, _KEPT_SECONDS, _REST)

    async def read(self) -> dict[str, Backlog]:
        """The backlog of every queue. Raises the store's errors."""
        return await self._kept.get()

    async def _read(self) -> dict[str, Backlog]:
        return await read(self._store, self._queues)
