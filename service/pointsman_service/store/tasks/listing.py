"""Pages of tasks that always answer, whatever they are narrowed to and however many tasks there are.

A page looks until it is full, or until its time is over: then it says how far it has looked, and the next one goes on
there. ``task_live`` is always looked at first: a task that ends meanwhile is found in ``task``, and one that was found
twice is one.
"""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from pointsman_contract.states import TERMINAL, UNFINISHED
from pointsman_service.store.store import Connection, DatabaseTrouble, Store
from pointsman_service.store.tasks import reading
from pointsman_service.store.tasks.looking import (
    Looks,
    Seen,
    at_ended,
    at_finished,
    at_live,
    look,
    look_by_finish,
)
from pointsman_service.store.tasks.reading import TaskFilter, conditions_of
from pointsman_service.store.upkeep.partitions import lowest_id

LOOK_SECONDS = 0.025
"""After so long a page begins no further look, once it has looked at its share."""
_SHARE = 2_000
"""Rows that a page looks at however long that takes: a small installation is looked through, on a busy machine too."""
_STATEMENT_SECONDS = 0.25
"""A look that the planner took for cheaper than it is ends then, and the page with it."""
_FIRST_LOOKS = 400
_FEWEST_LOOKS = 2_000
_MOST_LOOKS = 40_000
_ROWS_A_SECOND = 200_000.0
"""Until it was measured."""
_LOWEST = UUID(int=0)
_HIGHEST = UUID(int=(1 << 128) - 1)
_EVER = datetime(9000, 1, 1, tzinfo=UTC)
_DAYS_TIMES = 8
_MOST_DAYS = 64
"""A look at so many days looks at all."""

# Rows are read in the order of an index, or by a bitmap where its index has no order: never all of a table, and never
# sorted before it is known how many they are. What runs beside this has no workers to spare.
_PLAN = text("""
    SELECT set_config('enable_seqscan', 'off', true), set_config('max_parallel_workers_per_gather', '0', true),
        set_config('statement_timeout', CAST(:milliseconds AS text), true),
        set_config('enable_indexscan', CAST(:in_order AS text), true),
        set_config('enable_bitmapscan', CAST(:by_bitmap AS text), true)
""")


class Sort(StrEnum):
    """Which task comes first."""

    SUBMITTED = "submitted"
    """That which was submitted last."""
    FINISHED = "finished"
    """That which ended last; those that have not ended are left out."""


class Position(NamedTuple):
    """Where a list goes on: behind the task of this id, or of this finish and id."""

    id: UUID
    finished_at: datetime | None = None

    @property
    def sort(self) -> Sort:
        """Of the list that it is in."""
        return Sort.SUBMITTED if self.finished_at is None else Sort.FINISHED


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list."""

    rows: list[dict[str, Any]]
    """As of ``reading.rows_of``."""
    following: Position | None
    """Where the next page goes on; None: there is nothing more."""
    searched_until: datetime | None
    """Of a page that is not full, and not the last: what was submitted, or ended, before this moment it has not looked
    at."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How many tasks meet a filter, as far as that was counted."""

    tasks: int
    """So many at least."""
    is_all: bool
    """There are no more."""
    searched_until: datetime | None
    """Where time was over: what was submitted before this moment is not counted."""


async def page_of(
    store: Store,
    wanted: TaskFilter,
    most: int,
    after: Position | None = None,
    sort: Sort = Sort.SUBMITTED,
    seconds: float = LOOK_SECONDS,
) -> Page:
    """The tasks that meet the filter, ``most`` at most, the newest first.

    Raises what ``Store.transaction`` does. A statement that takes too long ends the page and is no error, unless
    nothing was looked at yet.
    """
    search: _Search = (_ByFinish if sort is Sort.FINISHED else _BySubmission)(wanted, most, after)
    try:
        async with store.transaction() as connection:
            await search.run(connection, time.monotonic() + seconds)
            rows = await reading.rows_of(connection, wanted, search.shown())
    except DatabaseTrouble as error:
        if not error.took_too_long:
            raise
        async with store.transaction() as connection:
            if not search.has_looked:
                # In small steps, and in as much time as any statement has.
                await search.creep(connection)
            rows = await reading.rows_of(connection, wanted, search.shown())
    return search.page(rows)


async def count_of(store: Store, wanted: TaskFilter, most: int, seconds: float = LOOK_SECONDS) -> Counted:
    """How many tasks meet the filter, ``most`` at most, as far as can be counted in so long. Raises as ``page_of``."""
    search = _BySubmission(wanted, most, None, counts=True)
    try:
        async with store.transaction() as connection:
            await search.run(connection, time.monotonic() + seconds)
    except DatabaseTrouble as error:
        if not error.took_too_long:
            raise
        if not search.has_looked:
            async with store.transaction() as connection:
                await search.creep(connection)
    return search.counted()


class _Search(ABC):
    """A page on its way."""

    def __init__(self, wanted: TaskFilter, most: int) -> None:
        self.wanted = wanted
        self.most = most
        self.has_looked = False
        """Whether there is something to answer."""
        self.looked = 0
        """Rows that were looked at."""
        self._plan: tuple[bool, bool] | None = None
        self._rows_a_second = _ROWS_A_SECOND

    @abstractmethod
    async def run(self, connection: Connection, deadline: float) -> None:
        """Look until the page is full, all has been looked at, or time is over."""

    @abstractmethod
    async def creep(self, connection: Connection) -> None:
        """One look at few rows."""

    @abstractmethod
    def shown(self) -> list[UUID]:
        """The ids of the page, in its order."""

    @abstractmethod
    def page(self, rows: list[dict[str, Any]]) -> Page:
        """The page, with its rows."""

    async def plan(self, connection: Connection, *, by_bitmap: bool) -> None:
        """Let the next looks be planned so."""
        wanted = (not by_bitmap, by_bitmap)
        if self._plan != wanted:
            switch = {True: "on", False: "off"}
            milliseconds = str(int(_STATEMENT_SECONDS * 1000))
            plan = {"milliseconds": milliseconds, "in_order": switch[wanted[0]], "by_bitmap": switch[wanted[1]]}
            await connection.execute(_PLAN, plan)
            self._plan = wanted

    def looks_for(self, seconds: float) -> int:
        """Rows that can be looked at in so long."""
        return int(min(max(self._rows_a_second * seconds, _FEWEST_LOOKS), _MOST_LOOKS))

    def is_late(self, remaining: float) -> bool:
        """Whether the page ends here."""
        return self.has_looked and remaining <= 0 and self.looked >= _SHARE

    def took(self, looked: int, seconds: float) -> None:
        """A look down an index took so long."""
        self.looked += looked
        if looked >= _FEWEST_LOOKS:
            self._rows_a_second = looked / max(seconds, 1e-6)


class _Table:
    """One table, as far as it has been looked at down the ids."""

    def __init__(self, search: "_BySubmission", looks: Looks | None, *, by_days: bool) -> None:
        self._search = search
        self._looks = looks
        self._days: int | None = 1 if by_days else None
        """So many days are looked at next, of a table that has one for each; None: all."""
        self._gathers = looks is not None and looks.gather is not None
        self._is_first = True
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
        if gather is not None and (gather.comes_first or not self._is_first):
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
        looks = self._search.first_looks if self._is_first else self._search.looks_for(seconds)
        began = time.monotonic()
        seen = await look(connection, self._looks.down, self._bounds(low, looks))
        self._search.took(seen.looked, time.monotonic() - began)
        if seen.looked < looks:
            self._looked(seen, low)
        else:
            self._is_first = False
            self._looked(seen, seen.last)

    async def creep(self, connection: Connection) -> None:
        """Look at the next few."""
        assert self._looks is not None
        seen = await look(connection, self._looks.down, self._bounds(self._lowest(self._search.floor), _FIRST_LOOKS))
        self._looked(seen, seen.last if seen.looked else self._lowest(self._search.floor))

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


class _BySubmission(_Search):
    """The newest ids first, of both tables."""

    def __init__(self, wanted: TaskFilter, most: int, after: Position | None, *, counts: bool = False) -> None:
        """``counts``: nothing is told but how many there are."""
        super().__init__(wanted, most + 1)
        self._counts = counts
        self.told = 0 if counts else self.most
        """Ids that a look tells at most."""
        conditions, self.parameters = conditions_of(wanted)
        self.floor: UUID = self.parameters.get("lowest", _LOWEST)
        self.top: UUID = self.parameters.get("highest", _HIGHEST)
        if after is not None:
            self.top = min(self.top, after.id)
        self.first_looks = self.most if not conditions else max(_FIRST_LOOKS, 4 * self.most)
        if counts:
            self.first_looks = _FIRST_LOOKS
        nothing = wanted.only_ended and wanted.state in UNFINISHED
        live = not wanted.only_ended and not nothing
        ended = (wanted.state is None or wanted.state in TERMINAL) and not nothing
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
        """One look at few rows of each table."""
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


class _ByFinish(_Search):
    """The last ended first."""

    def __init__(self, wanted: TaskFilter, most: int, after: Position | None) -> None:
        super().__init__(wanted, most + 1)
        self._parameters = conditions_of(wanted)[1]
        looks = at_finished(wanted)
        self._down, self._gather = looks.down, looks.gather
        before = wanted.finished_before or _EVER
        self._high: tuple[datetime, UUID] = (before, _LOWEST)
        if after is not None and after.finished_at is not None:
            self._high = min(self._high, (after.finished_at, after.id))
        self._found: list[tuple[datetime, UUID]] = []
        self._over = wanted.state in UNFINISHED

    async def run(self, connection: Connection, deadline: float) -> None:
        """Look until the page is full, all has been looked at, or time is over."""
        is_first = True
        while not self._over and len(self._found) < self.most:
            remaining = deadline - time.monotonic()
            if self.is_late(remaining):
                return
            if not is_first and self._gather is not None:
                await self._gather_all(connection)
                continue
            await self.plan(connection, by_bitmap=False)
            looks = max(_FIRST_LOOKS, 2 * self.most) if is_first else self.looks_for(max(remaining, 0.0))
            is_first = False
            await self._look(connection, looks)

    async def creep(self, connection: Connection) -> None:
        """One look at few rows."""
        await self._look(connection, _FIRST_LOOKS)

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

    async def _gather_all(self, connection: Connection) -> None:
        assert self._gather is not None
        gather, self._gather = self._gather, None
        await self.plan(connection, by_bitmap=gather.by_bitmap)
        seen = await look_by_finish(connection, gather.statement, self._bounds(gather.looks))
        self.looked += seen.looked
        if seen.looked < gather.looks:
            self._found += seen.found
            self._over = True

    def _bounds(self, looks: int) -> dict[str, Any]:
        high_at, high = self._high
        return self._parameters | {"high_at": high_at, "high": high, "looks": looks, "most": self.most}


def moment_of(task_id: UUID) -> datetime:
    """The moment in a UUIDv7; one that no task can have been made at yet is far in the future."""
    milliseconds = task_id.int >> 80
    if milliseconds >= _EVER.timestamp() * 1000:
        return _EVER
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
