"""What every search for a page has: how its looks are planned, how long they may take, and when it ends."""

from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

from sqlalchemy import text

from pointsman_service.store.store import Connection
from pointsman_service.store.tasks.pages import Page
from pointsman_service.store.tasks.reading import TaskFilter

SHARE = 2_000
"""Rows that a page looks at however long that takes: a small installation is looked through, on a busy machine too."""
FIRST_LOOKS = 400
"""So many tell how long the next ones take, and how rare what is sought is."""
_RARE = 40
"""What is met by no more than one row in so many is better fetched by another index, from all over a table."""
_STATEMENT_SECONDS, _FURTHER_SECONDS = 0.25, 0.04
"""A look that the planner took for cheaper than it is, or that has to wait for a disk, ends then, and the page with it;
the second of these once there is something to answer.
"""
_FEWEST_LOOKS = 500
_MOST_LOOKS = 40_000
_ROWS_A_SECOND = 100_000.0
"""Until it was measured."""

# Rows are read in the order of an index, or by a bitmap where its index has no order: never all of a table, and never
# sorted before it is known how many they are. What runs beside this has no workers to spare.
_PLAN = text("""
    SELECT set_config('enable_seqscan', 'off', true), set_config('max_parallel_workers_per_gather', '0', true),
        set_config('statement_timeout', CAST(:milliseconds AS text), true),
        set_config('enable_indexscan', CAST(:in_order AS text), true),
        set_config('enable_bitmapscan', CAST(:by_bitmap AS text), true)
""")
_NO_HURRY = text("SET LOCAL statement_timeout TO DEFAULT")


class Search(ABC):
    """A page on its way."""

    def __init__(self, wanted: TaskFilter, most: int, share: int = SHARE) -> None:
        self.wanted = wanted
        self.most = most
        self._share = share
        self.has_looked = False
        """Whether there is something to answer."""
        self.looked = 0
        """Rows that were looked at."""
        self._plan: tuple[bool, float] | None = None
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
        seconds = _FURTHER_SECONDS if self.has_looked else _STATEMENT_SECONDS
        wanted = (by_bitmap, seconds)
        if self._plan != wanted:
            switch = {True: "on", False: "off"}
            milliseconds = str(int(seconds * 1000))
            plan = {"milliseconds": milliseconds, "in_order": switch[not by_bitmap], "by_bitmap": switch[by_bitmap]}
            await connection.execute(_PLAN, plan)
            self._plan = wanted

    async def end(self, connection: Connection) -> None:
        """Let what follows the looks, the COMMIT too, take as long as any statement."""
        if self._plan is not None:
            await connection.execute(_NO_HURRY)

    def looks_for(self, seconds: float, found: int = 0) -> int:
        """Rows to look at next when so long is left: what half of it is enough for, as the next ones may be slower than
        the last, and its share however long that takes; where so many were ``found`` so far, no more than will fill it.
        """
        wanted = max(self._rows_a_second * seconds / 2, self._share - self.looked, _FEWEST_LOOKS)
        if found:
            # Twice as many, for what is left may be rarer than what was found.
            wanted = min(wanted, max(FIRST_LOOKS, 2 * (self.most - found) * self.looked / found))
        return int(min(wanted, _MOST_LOOKS))

    def is_late(self, remaining: float) -> bool:
        """Whether the page ends here: what is left is not enough for a look that is worth its round trip."""
        return self.has_looked and self.looked >= self._share and remaining * self._rows_a_second <= _FEWEST_LOOKS

    @staticmethod
    def is_rare(hits: int, looked: int) -> bool:
        """Whether so few were found among those looked at that going on down the same index is the longer way."""
        return hits * _RARE <= looked

    def took(self, looked: int, seconds: float) -> None:
        """A look down an index took so long."""
        self.looked += looked
        if looked >= FIRST_LOOKS:
            self._rows_a_second = looked / max(seconds, 1e-6)
