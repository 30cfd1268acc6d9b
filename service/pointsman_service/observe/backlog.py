"""How much is due and not started, and since when."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pointsman_contract.states import TaskState
from pointsman_service.observe.kept import Kept
from pointsman_service.store.metrics import watching
from pointsman_service.store.store import Store

_KEPT_SECONDS = 1.5
_REST = 10.0
"""Counting takes at most a tenth of one connection's time, however long the backlog."""


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


def backlogs(rows: Iterable[Mapping[str, Any]], queues: Iterable[str]) -> dict[str, Backlog]:
    """By queue, from ``watching.unfinished``; queues without a task and queues no longer configured are there too."""
    found = {queue: Backlog() for queue in queues}
    for row in rows:
        backlog = found.setdefault(row["queue"], Backlog())
        backlog.by_state[row["state"]] = backlog.by_state.get(row["state"], 0) + row["tasks"]
        if row["state"] == TaskState.HELD:
            backlog.held_by[row["held_reason"]] = row["tasks"]
        if row["state"] == TaskState.QUEUED:
            backlog.depth = row["tasks"]
            backlog.oldest_wait_seconds = row["oldest_seconds"]
            backlog.waiting = row["waiting"]
    return found


class BacklogWatch:
    """Counts at most every second and a half."""

    def __init__(self, store: Store, queues: Iterable[str]) -> None:
        self._store = store
        self._queues = tuple(queues)
        self._kept = Kept(self._count, _KEPT_SECONDS, _REST)

    async def read(self) -> dict[str, Backlog]:
        """The backlog of every queue. Raises the store's errors."""
        return await self._kept.get()

    async def _count(self) -> dict[str, Backlog]:
        async with self._store.statement() as connection:
            return backlogs(await watching.unfinished(connection), self._queues)
