"""What the release before counted, and what it counts beside this one."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

from sqlalchemy import text

from pointsman_service.record.rollup import Rollup
from pointsman_service.settings import Settings
from pointsman_service.store.metrics import summing
from pointsman_service.store.metrics.carrying import carry_day
from pointsman_service.store.metrics.reach import DAY, HOUR, Resolution, floor
from pointsman_service.store.store import Connection, Store

TODAY = floor(datetime.now(UTC), DAY)


async def run(store: Store, sql: str, **parameters: object) -> int:
    async with store.statement() as connection:
        return (await connection.execute(text(sql), parameters)).rowcount


async def counted(store: Store, table: str, at: datetime, n: int) -> None:
    """As the release before writes it."""
    sql = f"INSERT INTO {table} (minute, task_type, queue, succeeded, run_buckets, run_counts)"
    await run(store, sql + " VALUES (:at, 'a', 'email', CAST(:n AS int), '{4}', ARRAY[CAST(:n AS int)])", at=at, n=n)


async def told(store: Store, begins: datetime, length: timedelta) -> tuple[int, int, Resolution]:
    """Successes, observations and resolution of a window."""
    async with store.statement() as connection:
        found = await summing.over_window(connection, "none", length.total_seconds(), begins + length)
    done = [(int(one.counts["succeeded"]), sum(one.run.values())) for one in found.sums] or [(0, 0)]
    return (*done[0], found.reach.resolution)


async def old_fold(store: Store) -> int:
    """What the release before takes to fold it; without what it makes of it, these are lost."""
    return await run(store, "DELETE FROM task_metrics_delta")


async def test_what_the_release_before_counted_is_told_the_same_before_and_after_it_is_carried(
    store: Store, settings: Settings
) -> None:
    long_ago = TODAY - 40 * DAY
    await counted(store, "task_metrics", long_ago, 100)
    for days in (3, 2, 0):
        await counted(store, "task_metrics", TODAY - days * DAY, 7)
        await counted(store, "task_metrics", TODAY - days * DAY + 90 * timedelta(minutes=1), 5)
    rollup = Rollup(store, settings)
    expected = {
        (TODAY - 3 * DAY, DAY): (12, 12, "minute"),
        (TODAY - 3 * DAY + HOUR, HOUR): (5, 5, "minute"),
        (TODAY - 3 * DAY, 4 * DAY): (36, 36, "minute"),
        (TODAY - 3 * DAY + timedelta(minutes=30), 2 * DAY): (17, 17, "minute"),
    }
    while True:
        assert {window: await told(store, *window) for window in expected} == expected
        if not await rollup.single_pass():
            break
    assert {window: await told(store, *window) for window in expected} == expected
    assert await told(store, long_ago + 12 * HOUR, HOUR) == (100, 100, "day"), "no hour of that day is known"
    assert (await told(store, long_ago, 41 * DAY))[:2] == (136, 136)
    async with store.statement() as connection:
        (everything,) = await summing.everything(connection)
    assert everything.counts["succeeded"] == 136


async def test_the_release_before_leaves_counting_to_this_one_while_it_folds(store: Store, settings: Settings) -> None:
    await counted(store, "task_metrics_delta", TODAY, 7)
    assert await old_fold(store) == 1, "nobody else does it yet"
    rollup = Rollup(store, settings)
    while await rollup.single_pass():
        pass
    await counted(store, "task_metrics_delta", TODAY, 5)
    assert await old_fold(store) == 0
    await rollup.single_pass()
    assert await told(store, TODAY, DAY) == (5, 5, "minute")


async def test_the_release_before_leaves_what_it_does_not_count(store: Store, settings: Settings) -> None:
    """It folds by hours as this one does, and knows nothing of predictions."""
    rollup = Rollup(store, settings)
    while await rollup.single_pass():
        pass
    await counted(store, "task_metrics_delta", TODAY, 5)
    sql = "INSERT INTO task_metrics_delta (minute, task_type, queue, predicted, kept) VALUES (:at, 'a', 'email', 3, 2)"
    await run(store, sql, at=TODAY)
    async with store.transaction() as connection:
        await connection.execute(text("SELECT set_config('pointsman.folds', 'days', true)"))
        assert (await connection.execute(text("DELETE FROM task_metrics_delta"))).rowcount == 1
    await rollup.single_pass()
    async with store.statement() as connection:
        (found,) = (await summing.over_window(connection, "none", 86_400.0, TODAY + DAY)).sums
    assert (found.counts["predicted"], found.counts["kept"]) == (3, 2)


async def test_minutes_that_somebody_wrote_by_hand_are_told_at_once_and_carried(
    store: Store, settings: Settings
) -> None:
    rollup = Rollup(store, settings)
    while await rollup.single_pass():
        pass
    await counted(store, "task_metrics", TODAY - 2 * DAY, 9)
    assert await told(store, TODAY - 3 * DAY, 3 * DAY) == (9, 9, "minute")
    while await rollup.single_pass():
        pass
    assert await told(store, TODAY - 3 * DAY, 3 * DAY) == (9, 9, "minute")
    async with store.statement() as connection:
        days = await connection.execute(text("SELECT succeeded FROM task_metrics_day"))
        assert list(days.scalars()) == [9]


class Meanwhile:
    """A connection on which something else happens once, before a statement that begins so."""

    def __init__(self, connection: Connection, beginning: str, happens: Callable[[], Awaitable[None]]) -> None:
        self._connection = connection
        self._beginning = beginning
        self._happens: Callable[[], Awaitable[None]] | None = happens

    async def execute(self, statement: Any, parameters: Any = None) -> Any:
        if self._happens is not None and str(statement).startswith(self._beginning):
            happens, self._happens = self._happens, None
            await happens()
        return await self._connection.execute(statement, parameters)


async def test_minutes_that_somebody_wrote_while_an_older_day_was_carried_are_carried_too(
    store: Store, settings: Settings
) -> None:
    rollup = Rollup(store, settings)
    for days in (1, 3):
        await counted(store, "task_metrics", TODAY - days * DAY, 9)
    assert await rollup.single_pass(), "the older day is left"
    async with store.transaction() as connection:
        late = partial(counted, store, "task_metrics", TODAY - DAY + HOUR, 5)
        await carry_day(cast(Connection, Meanwhile(connection, "DELETE FROM task_metrics_hour", late)))
    while await rollup.single_pass():
        assert (await told(store, TODAY - 3 * DAY, 4 * DAY))[0] == 23
    assert await told(store, TODAY - 3 * DAY, 4 * DAY) == (23, 23, "minute")


async def test_what_the_release_before_folded_meanwhile_is_carried_again(store: Store, settings: Settings) -> None:
    rollup = Rollup(store, settings)
    await counted(store, "task_metrics_delta", TODAY, 3)
    while await rollup.single_pass():
        pass
    await run(store, "UPDATE task_metrics_kept SET folded_at = now() - interval '1 hour'")
    await counted(store, "task_metrics_delta", TODAY, 5)
    assert await old_fold(store) == 1
    await run(store, "UPDATE task_metrics SET succeeded = succeeded + 5, run_counts = '{8}'")
    assert await told(store, TODAY, DAY) == (8, 8, "minute")
    while await rollup.single_pass():
        assert await told(store, TODAY, DAY) == (8, 8, "minute")
    assert await told(store, TODAY, DAY) == (8, 8, "minute")
