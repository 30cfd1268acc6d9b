"""What ``bench history`` asks about is a history as the program would have left it."""

from datetime import UTC, datetime, time, timedelta

import asyncpg  # type: ignore[import-untyped]  # ships no types
import pytest

from pointsman_service.store.metrics import summing
from pointsman_service.store.metrics.reach import DAY
from pointsman_service.store.metrics.summing import GroupBy
from pointsman_service.store.store import Store
from tests.benchmark.history_fill import store_day
from tests.benchmark.history_kept import settle
from tests.benchmark.history_rows import Day, Group, kinds_of

_TASKS = 300
_RECOUNTS: dict[GroupBy, str] = {
    "task_type": "SELECT task_type, state, count(*) FROM task GROUP BY 1, 2",
    "queue": "SELECT queue, state, count(*) FROM task GROUP BY 1, 2",
    "caller": "SELECT caller, state, count(*) FROM task GROUP BY 1, 2",
    "pool": "SELECT split_part(worker, '@', 1), state, count(*) FROM task GROUP BY 1, 2",
    "error": "SELECT error_type, state, count(*) FROM task GROUP BY 1, 2",
}
_STATES = ("succeeded", "failed", "cancelled")


@pytest.fixture
async def filled(store: Store, database_url: str) -> str:
    """Two days and a bit of today, and the DSN of where they are."""
    dsn = database_url.replace("+asyncpg", "")
    now = datetime.now(UTC)
    midnight = datetime.combine(now.date(), time.min, UTC)
    db = await asyncpg.connect(dsn)
    await db.execute("UPDATE task_metrics_kept SET carried_to = '1970-01-01 00:00+00'")
    for (name,) in await db.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'task'::regclass"
    ):
        await db.execute(f"DROP TABLE {name}")
    await db.close()
    groups: dict[str, Group] = {}
    for start, end in ((midnight - 2 * DAY, midnight - DAY), (midnight - DAY, midnight), (midnight, now)):
        day = Day(start, end, _TASKS, kinds_of(("bench.a", "bench.b", "bench.c")), seed=start.toordinal())
        await store_day(dsn, day)
        groups |= day.groups
    await settle(dsn, groups, now, 3)
    return dsn


async def test_a_filled_history_is_counted_as_a_recount_of_its_rows_says(store: Store, filled: str) -> None:
    db = await asyncpg.connect(filled)
    async with store.statement() as connection:
        for group_by, recount in _RECOUNTS.items():
            windowed = await summing.over_window(connection, group_by, 3 * 86_400)
            said = {
                (one.task_type or one.queue or one.name, state): int(one.counts[state])
                for one in windowed.sums
                for state in _STATES
                if one.counts[state]
            }
            assert said == {(row[0], row[1]): row[2] for row in await db.fetch(recount)}, group_by
        (whole,) = (await summing.over_window(connection, "none", 3 * 86_400)).sums
        (hours,) = (await summing.over_window(connection, "none", 86_400 + 3600)).sums
    assert sum(whole.run.values()) == whole.counts["executions"] > 3 * _TASKS
    assert sum(whole.wait.values()) == whole.counts["submitted"] == 3 * _TASKS
    since = datetime.now(UTC) - timedelta(hours=25)
    minutes = "SELECT sum(succeeded)::int FROM task_metrics WHERE minute >= date_trunc('minute', $1::timestamptz)"
    assert hours.counts["succeeded"] == await db.fetchval(minutes, since)
    await db.close()


async def test_a_filled_history_has_its_errors_dead_letters_and_samples(filled: str) -> None:
    db = await asyncpg.connect(filled)
    failed = await db.fetchval("SELECT count(*) FROM task WHERE state = 'failed'")
    assert failed == await db.fetchval("SELECT count(*) FROM dead_letter") > 0
    assert failed == await db.fetchval("SELECT sum(tasks)::int FROM dead_letter_count WHERE hour = '-infinity'")
    assert failed == await db.fetchval("SELECT sum(tasks)::int FROM error_group")
    attempts = await db.fetchval("SELECT count(*) FROM task_attempt")
    assert attempts == await db.fetchval("SELECT sum(occurrences)::int FROM error_group") > failed
    for table in ("queue_metrics", "worker_metrics", "prediction_metrics", "prediction"):
        assert await db.fetchval(f"SELECT count(*) FROM {table}") > 0, table
    await db.close()
