"""One task, for whoever waits for its end or follows it."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

from pointsman_service.live.slots import Slot
from pointsman_service.live.task_changes import TaskChange


class TaskWatch(Slot[TaskChange]):
    """One who watches a task, from ``ChangeStream.watch``: its state now, and whatever becomes of it.

    It is over when the process is about to stop, and when the task is not kept, or no longer.
    """

    def __init__(self, task_id: UUID) -> None:
        super().__init__()
        self.task_id = task_id

    async def end_of_task(self, seconds: float) -> bool:
        """Whether the task ends within ``seconds``; False at once when the watch is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (news := await self.await_news()) is not None:
                    if news.is_terminal:
                        return True
        return False


class Watches:
    """The watched tasks of one process."""

    def __init__(self) -> None:
        self._by_task: defaultdict[UUID, set[TaskWatch]] = defaultdict(set)
        self.unread: set[UUID] = set()
        """Tasks that somebody began to watch since they were last read."""

    def __len__(self) -> int:
        return len(self._by_task)

    @property
    def all(self) -> set[UUID]:
        """Every task that is watched."""
        return set(self._by_task)

    def among(self, ids: Iterable[UUID]) -> set[UUID]:
        """Those of ``ids`` that are watched."""
        return self._by_task.keys() & ids

    def add(self, watch: TaskWatch) -> None:
        """From now on it is told."""
        self._by_task[watch.task_id].add(watch)
        self.unread.add(watch.task_id)

    def discard(self, watch: TaskWatch) -> None:
        """It is no longer."""
        watches = self._by_task.get(watch.task_id)
        if watches is None:
            return
        watches.discard(watch)
        if not watches:
            del self._by_task[watch.task_id]
            self.unread.discard(watch.task_id)

    def tell(self, asked: Iterable[UUID], changes: Iterable[TaskChange]) -> None:
        """Give those who watch ``asked`` what was found of it. What was not found is not kept: their watch is over."""
        gone = set(asked)
        for change in changes:
            gone.discard(change.task.id)
            for watch in self._by_task.get(change.task.id, ()):
                watch.offer(change)
        for task_id in gone:
            for watch in self._by_task.get(task_id, ()):
                watch.end()

    def end(self) -> None:
        """All are over."""
        for watches in self._by_task.values():
            for watch in watches:
                watch.end()
