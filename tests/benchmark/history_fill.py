"""Thirty days of ended tasks, filled by COPY: what a partition is made of, then its indexes as the migrations made them
on ``task``, then it is attached, as the program attaches a day.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # ships no types

from pointsman_service.failures.fingerprint import VERSION
from pointsman_service.store.upkeep.partitions import lowest_id, partition_name
from tests.benchmark.history_rows import (
    ATTEMPT_COLUMNS,
    TASK_COLUMNS,
    WAITING_COLUMNS,
    Day,
    Group,
    kinds_of,
    waiting,
)
from tests.stand.waiting import until

DAYS = 30
WAITING_SECONDS = 3600.0
"""What waits was submitted in the last hour."""
_PROCESSES = 2
_CARRY_SECONDS = 240.0
_EMPTIED = (
    "task_live", "task", "task_attempt", "task_metrics", "task_metrics_hour", "task_metrics_day", "task_metrics_delta",
    "backlog", "backlog_delta", "dead_letter", "dead_letter_count", "dead_letter_delta", "error_group", "error_count",
    "error_delta",
)  # fmt: skip


def fill(dsn: str, task_types: Sequence[str], tasks: int, waiting_tasks: int, until: datetime) -> None:
    """Replace everything by so many ended tasks of the thirty days before a moment, and so many unfinished ones."""
    asyncio.run(_empty(dsn))
    begin = until - timedelta(days=DAYS)
    spans = list(_days(begin, until))
    whole = (until - begin).total_seconds()
    with ProcessPoolExecutor(_PROCESSES) as pool:
        filled = [
            pool.submit(
                fill_day, dsn, tuple(task_types), start, end, round(tasks * (end - start).total_seconds() / whole)
            )
            for start, end in spans
        ]
        filled.append(pool.submit(fill_waiting, dsn, tuple(task_types), until, waiting_tasks))
        groups: dict[str, Group] = {}
        for one in filled:
            groups = {**one.result(), **groups}
    asyncio.run(_settle(dsn, groups))


def fill_day(dsn: str, task_types: tuple[str, ...], start: datetime, end: datetime, tasks: int) -> dict[str, Group]:
    """One day: its tasks, failed attempts, minutes and errors. The groups of these."""
    day = Day(start, end, tasks, kinds_of(task_types), seed=start.toordinal())
    asyncio.run(_fill_day(dsn, day))
    return day.groups


def fill_waiting(dsn: str, task_types: tuple[str, ...], until: datetime, tasks: int) -> dict[str, Group]:
    """What is not finished: no error of theirs counts."""
    asyncio.run(_fill_waiting(dsn, waiting(kinds_of(task_types), until, tasks, WAITING_SECONDS)))
    return {}


async def _fill_waiting(dsn: str, lines: Iterator[bytes]) -> None:
    db = await asyncpg.connect(dsn)
    try:
        async with db.transaction():
            await _copy(db, "task_live", WAITING_COLUMNS, lines)
            await keep_backlog(db)
    finally:
        await db.close()


async def keep_backlog(db: "asyncpg.Connection[asyncpg.Record]") -> None:
    """The numbers of what waits, as they are kept where rows come one by one."""
    await db.execute(
        "INSERT INTO backlog (queue, state, held_reason, tasks)"
        " SELECT queue, state, CASE WHEN place = 'held' THEN coalesce(held_reason, '') ELSE '' END, count(*)"
        " FROM task_live WHERE place <> 'sent' GROUP BY 1, 2, 3"
    )


async def _fill_day(dsn: str, day: Day) -> None:
    db = await asyncpg.connect(dsn)
    try:
        await db.execute("SET maintenance_work_mem = '256MB'; SET max_parallel_maintenance_workers = 0")
        name = partition_name(day.start.date())
        await db.execute(f"CREATE TABLE {name} (LIKE task INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        await _copy(db, name, TASK_COLUMNS, day.lines())
        for definition in await db.fetch(
            "SELECT pg_get_indexdef(indexrelid) AS words, indisprimary FROM pg_index WHERE indrelid = 'task'::regclass"
        ):
            if definition["indisprimary"]:
                await db.execute(f"ALTER TABLE {name} ADD PRIMARY KEY (id)")
            else:
                words = re.sub(r"^CREATE INDEX \S+ ON ONLY \S+", f"CREATE INDEX ON {name}", definition["words"])
                await db.execute(words)
        low, high = (lowest_id(datetime.combine(day.start.date(), time.min, UTC) + timedelta(days=d)) for d in (0, 1))
        await db.execute(f"ALTER TABLE {name} ADD CHECK (id >= '{low}' AND id < '{high}')")
        await db.execute(f"ALTER TABLE task ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')")
        await _copy(db, "task_attempt", ATTEMPT_COLUMNS, _encoded(day.attempts))
        await fill_metrics(db, day)
        await db.copy_records_to_table("error_count", records=day.error_counts())
    finally:
        await db.close()


async def fill_metrics(db: "asyncpg.Connection[asyncpg.Record]", day: Day) -> None:
    """The minutes, as the rollup would have folded them."""
    rows = day.metrics()
    if rows:
        columns = list(rows[0])
        await db.copy_records_to_table(
            "task_metrics", columns=columns, records=[tuple(row[name] for name in columns) for row in rows]
        )


async def _copy(
    db: "asyncpg.Connection[asyncpg.Record]", table: str, columns: Sequence[str], lines: Iterator[bytes]
) -> None:
    async def source() -> AsyncIterator[bytes]:
        for part in lines:
            yield part

    await db.copy_to_table(table, source=source(), columns=list(columns), format="text")


def _encoded(lines: Iterable[str]) -> Iterator[bytes]:
    yield "".join(lines).encode()


async def _empty(dsn: str) -> None:
    """No task, and no day of the past or of today; the loops go on meanwhile."""
    db = await asyncpg.connect(dsn)
    try:
        days = await db.fetch(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'task'::regclass AND c.relname LIKE 'task_day_%' AND c.relname <= $1",
            partition_name(datetime.now(UTC).date()),
        )
        for (name,) in days:
            await db.execute(f"DROP TABLE {name}")
        await db.execute(f"TRUNCATE {', '.join(_EMPTIED)}")
    finally:
        await db.close()


async def keep_dead_letters(db: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Failed tasks, and how many there are, as they are kept where tasks end one by one."""
    await db.execute(
        "INSERT INTO dead_letter (task_id, task_type, error_type, queue, failed_at)"
        " SELECT id, task_type, coalesce(error_type, ''), queue, finished_at FROM task WHERE state = 'failed'",
        timeout=None,
    )
    for hour in ("date_trunc('hour', failed_at, 'UTC')", "CAST('-infinity' AS timestamptz)"):
        await db.execute(
            "INSERT INTO dead_letter_count (task_type, error_type, queue, hour, tasks)"
            f" SELECT task_type, error_type, queue, {hour}, count(*) FROM dead_letter GROUP BY 1, 2, 3, 4"
        )


async def keep_groups(db: "asyncpg.Connection[asyncpg.Record]", groups: Mapping[str, Group]) -> None:
    """The groups of errors, with the sums of their days; nobody has dealt with them."""
    await db.executemany(
        "INSERT INTO error_group (id, version, task_type, error_type, message, first_seen_at, last_seen_at,"
        " occurrences, tasks, example_task_id, example_attempt, example_message, example_traceback, recent_task_ids)"
        " SELECT $1::uuid, $2::smallint, $3::text, $4::text, $5::text, min(since), max(since), sum(occurrences),"
        " sum(tasks), $6::uuid, 1, $7::text, '', ARRAY[$6::uuid]"
        " FROM error_count WHERE error_group = $1::uuid AND step_seconds = 86400 HAVING count(*) > 0",
        [
            (UUID(id_), VERSION, one.task_type, one.error_type, one.message, UUID(one.task_id), one.example)
            for id_, one in groups.items()
        ],
    )


async def _until_carried(db: "asyncpg.Connection[asyncpg.Record]") -> None:
    """The recorder makes hours and days of minutes that somebody else wrote."""

    async def is_carried() -> bool:
        return bool(
            await db.fetchval(
                "SELECT coalesce((SELECT carried_to <= '1970-01-01' FROM task_metrics_kept), false) AND"
                " (SELECT count(*) FROM task_metrics_day) > 0"
            )
        )

    await until(is_carried, "the recorder to make hours and days of the minutes", _CARRY_SECONDS)


async def _settle(dsn: str, groups: Mapping[str, Group]) -> None:
    """What the loops and autovacuum would have done in thirty days."""
    db = await asyncpg.connect(dsn)
    try:
        await keep_dead_letters(db)
        await keep_groups(db, groups)
        await _until_carried(db)
        await db.execute("SET maintenance_work_mem = '256MB'")
        for table in ("task", "task_live", "task_attempt", "task_metrics", "dead_letter", "error_count"):
            await db.execute(f"VACUUM ANALYZE {table}", timeout=None)
        await db.execute("CHECKPOINT")
    finally:
        await db.close()


def _days(begin: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    start = begin
    while start < until:
        end = min(datetime.combine(start.date() + timedelta(days=1), time.min, UTC), until)
        yield start, end
        start = end
