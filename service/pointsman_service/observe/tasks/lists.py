"""Tasks by a filter: pages of them, and how many there are as far as that can be counted at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pointsman_service.observe.tasks.task import Task, task_of
from pointsman_service.store.store import Store
from pointsman_service.store.tasks import listing
from pointsman_service.store.tasks.pages import Counted, Position, Sort
from pointsman_service.store.tasks.reading import TaskFilter

__all__ = ["Counted", "Position", "Sort", "TaskFilter", "TaskLists", "TaskPage"]


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of a list."""

    tasks: list[Task]
    """With payloads of more than 4 KiB left out; ``cut`` names them."""
    following: Position | None
    """Where the next page goes on; None: there is nothing more."""
    searched_until: datetime | None
    """Of a page that ended before it was full: what was submitted, or ended, before this moment it has not looked at.
    """

    @property
    def counted(self) -> Counted | None:
        """How many there are, as far as a first page tells that: all, or those since the moment up to which it has
        looked, for a count would come no further. None: it is full.
        """
        if self.following is None or self.searched_until is not None:
            return Counted(len(self.tasks), self.following is None, self.searched_until)
        return None


class TaskLists:
    """Lists of tasks for one process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, wanted: TaskFilter, most: int, after: Position | None, sort: Sort) -> TaskPage:
        """The tasks that meet the filter, ``most`` at most, the newest first. Raises what ``listing.page_of`` does."""
        found = await listing.page_of(self._store, wanted, most, after, sort)
        return TaskPage([task_of(row) for row in found.rows], found.following, found.searched_until)

    async def count(self, wanted: TaskFilter, most: int, seconds: float = listing.LOOK_SECONDS) -> Counted:
        """How many there are, ``most`` at most, as far as can be counted in so long."""
        return await listing.count_of(self._store, wanted, most, seconds)

    async def counts(self, wanted: Sequence[TaskFilter], most: int, seconds: float, share: int) -> list[Counted]:
        """The same of several, each in so long, and of the ``share`` tasks however long that takes."""
        return await listing.counts_of(self._store, wanted, most, seconds, share)
