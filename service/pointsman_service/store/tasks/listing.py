"""Pages of tasks that always answer, whatever they are narrowed to and however many tasks there are.

A page looks until it is full, or until its time is over: then it says how far it has looked, and the next one goes on
there. ``task_live`` is always looked at first: a task that ends meanwhile is found in ``task``, and one that was found
twice is one.
"""

import time
from collections.abc import Collection, Sequence
from operator import itemgetter
from uuid import UUID

from pointsman_service.store.store import Connection, Store, cut_off
from pointsman_service.store.tasks import reading
from pointsman_service.store.tasks.by_finish import ByFinish
from pointsman_service.store.tasks.by_submission import BySubmission
from pointsman_service.store.tasks.pages import Counted, Page, Position, Sort
from pointsman_service.store.tasks.reading import TaskFilter
from pointsman_service.store.tasks.searching import SHARE, Search

_FINISH = itemgetter("finished_at", "id")
LOOK_SECONDS = 0.025
"""So long a page looks, once it has looked at its share."""


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
    search: Search = (ByFinish if sort is Sort.FINISHED else BySubmission)(wanted, most, after)
    async with store.transaction() as connection:
        await _look(connection, search, time.monotonic() + seconds)
        rows = await reading.rows_of(connection, wanted, search.shown())
    return search.page(rows)


async def page_of_named(
    store: Store,
    wanted: TaskFilter,
    ids: Collection[UUID],
    after: Position | None = None,
    sort: Sort = Sort.SUBMITTED,
) -> Page:
    """Those of these tasks that are kept and meet the filter, the newest first, as the last page that there is. Raises
    as ``page_of``.
    """
    async with store.statement() as connection:
        rows = await reading.rows_of(connection, wanted, sorted({*ids}, reverse=True))
    if sort is Sort.SUBMITTED:
        return Page([row for row in rows if after is None or row["id"] < after.id], None, None)
    rows = [row for row in rows if row["finished_at"] is not None]
    rows.sort(key=_FINISH, reverse=True)
    return Page([row for row in rows if after is None or _FINISH(row) < (after.finished_at, after.id)], None, None)


async def count_of(store: Store, wanted: TaskFilter, most: int, seconds: float = LOOK_SECONDS) -> Counted:
    """How many tasks meet the filter, ``most`` at most, as far as can be counted in so long. Raises as ``page_of``."""
    (counted,) = await counts_of(store, [wanted], most, seconds)
    return counted


async def counts_of(
    store: Store, wanted: Sequence[TaskFilter], most: int, seconds: float, share: int = SHARE
) -> list[Counted]:
    """The same of several filters, each for so long, and of ``share`` rows however long that takes."""
    found = []
    async with store.transaction() as connection:
        for one in wanted:
            search = BySubmission(one, most, None, counts=True, share=share)
            await _look(connection, search, time.monotonic() + seconds)
            found.append(search.counted())
    return found


async def _look(connection: Connection, search: Search, deadline: float) -> None:
    """Look until then. One look that takes too long ends it, and is no error."""
    async with cut_off(connection) as cut:
        await search.run(connection, deadline)
        await search.end(connection)
    if cut.short and not search.has_looked:
        # In small steps, and in as much time as any statement has.
        await search.creep(connection)
