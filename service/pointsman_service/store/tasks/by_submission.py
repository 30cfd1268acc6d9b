"""A page of tasks by their submission: down the ids of both tables, the newest first."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pointsman_service.store.store import Connection
from pointsman_service.store.tasks.looking import Looks, Seen, at_ended, at_live, look
from pointsman_service.store.tasks.pages import Counted, Page, Position, moment_of
from pointsman_service.store.tasks.reading import TaskFilter, conditions_of
from pointsman_service.store.tasks.searching import FIRST_LOOKS, SHARE, Search
from pointsman_service.store.upkeep.partitions import lowest_id

_LOWEST = UUID(int=0)
_HIGHEST = UUID(int=(1 << 128) - 1)
_DAYS_TIMES = 8
_MOST_DAYS = 64
"""A look at so many days looks at all."""


class _Table:
    """One table, as far as it has been looked at down the ids."""

    def __init__(self, search: "BySubmission", looks: Looks | None, *, by_days: bool) -> None:
        self._search = search
        self._looks = looks
        self._days: int | None = 1 if by_days else None
        """So many days are looked at next, of a table that has one for each; None: all."""
        self._gathers = looks is not None and looks.gather is not None
        self._is_first = True
        self._is_rare = True
        self.low = search.floor if looks is None else search.top
        """All ids from this one on have been looked at."""
        self.found: list[UUID] = []
        self.hits = 0

    @property
    def is_over(self) -> bool:
        """Whether all of it has been looked at, or enough."""
        return self.low <= self._search.floor or self.hits >= self._search.most

    async def look(self, connection: Connection, floor: UUID, seconds: float) -> None:
        """Look at the next rows, none of them below ``floor``."""
        assert self._looks is not None
        gather = self._looks.gather if self._gathers else None
        if gather is not None and (gather.comes_first or (self._is_rare and not self._is_first)):
            await self._search.plan(connection, by_bitmap=gather.by_bitmap)
            low = self._lowest(floor)
            seen = await look(connection, gather.statement, self._bounds(low, gather.looks))
            self._search.looked += seen.looked
            if seen.looked < gather.looks:
                self._looked(seen, low)
            elif self._days is None or self._days == 1:
                self._gathers = False
            else:
                self._days = 1
            return
        await self._search.plan(connection, by_bitmap=False)
        low = self._lowest(floor)
        looks = self._search.first_looks if self._is_first else self._search.looks_for(seconds, self.hits)
        began = time.monotonic()
        seen = await look(connection, self._looks.down, self._bounds(low, looks))
        self._search.took(seen.looked, time.monotonic() - began)
        if seen.looked < looks:
            self._looked(seen, low)
        else:
            if self._is_first:
                self._is_first, self._is_rare = False, self._search.is_rare(seen.hits, seen.looked)
            self._looked(seen, seen.last)

    async def creep(self, connection: Connection) -> None:
        """Look at the next few, of however many days they are."""
        assert self._looks is not None
        left = FIRST_LOOKS
        while left > 0 and not self.is_over:
            low = self._lowest(self._search.floor)
            seen = await look(connection, self._looks.down, self._bounds(low, left))
            self._looked(seen, low if seen.looked < left else seen.last)
            left -= seen.looked

    def _bounds(self, low: UUID, looks: int) -> dict[str, Any]:
        told = self._search.told
        return self._search.parameters | {"low": low, "high": self.low, "looks": looks, "most": told}

    def _looked(self, seen: Seen, low: UUID) -> None:
        self.found += seen.found
        self.hits += seen.hits
        # There may be more where these stop.
        self.low = seen.found[-1] if seen.found and len(seen.found) == self._search.told else low
        if self._days is not None and low != seen.last:
            self._days *= _DAYS_TIMES

    def _lowest(self, floor: UUID) -> UUID:
        if self._days is None or self._days >= _MOST_DAYS:
            return floor
        newest = min(moment_of(self.low), datetime.now(UTC) + timedelta(days=1))
        day = newest.replace(hour=0, minute=0, second=0, microsecond=0)
        if day == newest:
            day -= timedelta(days=1)
        return max(floor, lowest_id(day - timedelta(days=self._days - 1)))


class BySubmission(Search):
    """The newest ids first, of both tables."""

    def __init__(
        self, wanted: TaskFilter, most: int, after: Position | None, *, counts: bool = False, share: int = SHARE
    ) -> None:
        """``counts``: nothing is told but how many there are."""
        super().__init__(wanted, most + 1, share)
        self._counts = counts
        self.told = 0 if counts else self.most
        """Ids that a look tells at most."""
        conditions, self.parameters = conditions_of(wanted)
        self.floor: UUID = self.parameters.get("lowest", _LOWEST)
        self.top: UUID = self.parameters.get("highest", _HIGHEST)
        if after is not None:
            self.top = min(self.top, after.id)
        self.first_looks = self.most if not conditions else max(FIRST_LOOKS, 4 * self.most)
        if counts:
            self.first_looks = FIRST_LOOKS
        live, ended = not wanted.only_ended, not wanted.only_unfinished
        self._live = _Table(self, at_live(wanted) if live else None, by_days=False)
        self._ended = _Table(self, at_ended(wanted) if ended else None, by_days=True)

    async def run(self, connection: Connection, deadline: float) -> None:
        """Look until the page is full, all has been looked at, or time is over."""
        while not self._is_full() and not self._is_over():
            # What was looked at in ``task`` before it was in ``task_live`` could have been missed in both.
            table, floor = (self._ended, self._live.low) if self._live.low < self._ended.low else (self._live, None)
            remaining = deadline - time.monotonic()
            if self.is_late(remaining):
                return
            await table.look(connection, self.floor if floor is None else floor, max(remaining, 0.0))
            self.has_looked = self.has_looked or max(self._live.low, self._ended.low) < self.top

    async def creep(self, connection: Connection) -> None:
        """Look at few rows of each table."""
        for table in (self._live, self._ended):
            if not table.is_over:
                await table.creep(connection)

    def shown(self) -> list[UUID]:
        """The ids of the page, in its order."""
        return self._found()[: self.most - 1]

    def page(self, rows: list[dict[str, Any]]) -> Page:
        """The page, with its rows."""
        if self._is_full():
            return Page(rows, Position(self.shown()[-1]), None)
        if self._is_over():
            return Page(rows, None, None)
        low = self._low()
        return Page(rows, Position(low), moment_of(low))

    def counted(self) -> Counted:
        """How many were found. One that ends meanwhile may be counted twice."""
        tasks = self._live.hits + self._ended.hits
        if tasks >= self.most:
            return Counted(self.most - 1, False, None)
        return Counted(tasks, True, None) if self._is_over() else Counted(tasks, False, moment_of(self._low()))

    def _low(self) -> UUID:
        return max(self._live.low, self._ended.low)

    def _found(self) -> list[UUID]:
        """What is known to be the newest."""
        low = self._low()
        return sorted({one for one in (*self._live.found, *self._ended.found) if one >= low}, reverse=True)

    def _is_full(self) -> bool:
        if self._counts:
            return self._live.hits + self._ended.hits >= self.most
        return len(self._found()) >= self.most

    def _is_over(self) -> bool:
        return self._low() <= self.floor
