"""A page of tasks by their end, the last first."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pointsman_service.store.store import Connection
from pointsman_service.store.tasks.looking import Gather, at_finished, look_by_finish
from pointsman_service.store.tasks.pages import EVER, Page, Position
from pointsman_service.store.tasks.reading import TaskFilter, conditions_of
from pointsman_service.store.tasks.searching import FIRST_LOOKS, Search

_LOWEST = UUID(int=0)
_FIRST_LOOKS = 600
"""Rows are cheap beside a look itself, which is planned for every day that there is."""
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS_TIMES = 8
_MOST_DAYS = 64
"""What ended so many days ago, or earlier, is looked for at once."""


class ByFinish(Search):
    """The last ended first."""

    def __init__(self, wanted: TaskFilter, most: int, after: Position | None) -> None:
        super().__init__(wanted, most + 1)
        self._parameters = conditions_of(wanted)[1]
        looks = at_finished(wanted)
        self._down, self._gather = looks.down, looks.gather
        before = wanted.finished_before or EVER
        self._high: tuple[datetime, UUID] = (before, _LOWEST)
        if after is not None and after.finished_at is not None:
            self._high = min(self._high, (after.finished_at, after.id))
        self._found: list[tuple[datetime, UUID]] = []
        self._over = wanted.only_unfinished
        self._days = 1
        """What ended in so many days is gathered next."""

    async def run(self, connection: Connection, deadline: float) -> None:
        """Look until the page is full, all has been looked at, or time is over."""
        is_first = True
        while not self._over and len(self._found) < self.most:
            remaining = deadline - time.monotonic()
            if self.is_late(remaining):
                return
            if self._gather is not None and not is_first:
                await self._gather_next(connection, self._gather)
                continue
            await self.plan(connection, by_bitmap=False)
            looks = _FIRST_LOOKS if is_first else self.looks_for(max(remaining, 0.0), len(self._found))
            await self._look(connection, looks)
            if is_first and not self.is_rare(len(self._found), self.looked):
                self._gather = None
            is_first = False

    async def creep(self, connection: Connection) -> None:
        """One look at few rows."""
        await self._look(connection, FIRST_LOOKS)

    def shown(self) -> list[UUID]:
        """The ids of the page, in its order."""
        return [task_id for _, task_id in self._found[: self.most - 1]]

    def page(self, rows: list[dict[str, Any]]) -> Page:
        """The page, with its rows."""
        if len(self._found) >= self.most:
            finished_at, task_id = self._found[self.most - 2]
            return Page(rows, Position(task_id, finished_at), None)
        if self._over:
            return Page(rows, None, None)
        return Page(rows, Position(self._high[1], self._high[0]), self._high[0])

    async def _look(self, connection: Connection, looks: int) -> None:
        began = time.monotonic()
        seen = await look_by_finish(connection, self._down, self._bounds(looks))
        self.took(seen.looked, time.monotonic() - began)
        self._found += seen.found
        self.has_looked = True
        if seen.last is not None:
            self._high = seen.last
        self._over = seen.looked < looks

    async def _gather_next(self, connection: Connection, gather: Gather) -> None:
        """All of the next days that an index finds; of one day only where it finds more than are gathered."""
        await self.plan(connection, by_bitmap=gather.by_bitmap)
        low_at = self._earliest() if gather.by_bitmap else _NEVER
        seen = await look_by_finish(connection, gather.statement, self._bounds(gather.looks) | {"low_at": low_at})
        self.looked += seen.looked
        if seen.looked < gather.looks:
            self._found += seen.found
            self._high = (low_at, _LOWEST)
            self._over = low_at == _NEVER
            self._days *= _DAYS_TIMES
        elif self._days == 1 or not gather.by_bitmap:
            self._gather = None
        else:
            self._days = 1

    def _earliest(self) -> datetime:
        return _NEVER if self._days >= _MOST_DAYS else max(_NEVER, self._high[0] - timedelta(days=self._days))

    def _bounds(self, looks: int) -> dict[str, Any]:
        high_at, high = self._high
        return self._parameters | {"high_at": high_at, "high": high, "looks": looks, "most": self.most}
