"""Thirty days of ended tasks, filled by COPY: what a partition is made of, then its indexes as the migrations made them
on ``task``, then it is attached, as the program attaches a day.
"""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time

import asyncpg  # type: ignore[import-untyped]  # ships no types
from asyncpg.exceptions import DeadlockDetectedError  # type: ignore[import-untyped]

from pointsman_service.store.upkeep.partitions import lowest_id, partition_name
from tests.benchmark.history_counts import KIND_COLUMNS, NAMED_COLUMNS, add_up
from tests.benchmark.history_kept import settle
from tests.benchmark.history_rows import (
    ATTEMPT_COLUMNS,
    TASK_COLUMNS,
    WAITING_COLUMNS,
    Day,
    Group,
    kinds_of,
    waiting,
)

DAYS = 30
WAITING_SECONDS = 3600.0
"""What waits was submitted in the last hour."""
_PROCESSES = 2
_TRIES = 20
_SAY_SECONDS = 5.0
_EMPTIED = (
    "task_live", "task", "task_attempt", "task_metrics", "task_metrics_hour", "task_metrics_day", "task_metrics_delta",
    "task_metrics_by_minute", "task_metrics_by_hour", "task_metrics_by_day", "queue_metrics", "worker_metrics",
    "backlog", "backlog_delta", "dead_letter", "dead_letter_count", "dead_letter_delta", "error_group",
    "error_group_change", "error_count", "error_delta", "prediction", "prediction_metrics", "worker",
)  # fmt: skip
# Whoever writes so is the rollup: hours and days are made here too, so none is to be made anew.
_SESSION = {
    "pointsman.folds": "days",
    "synchronous_commit": "off",
    "maintenance_work_mem": "512MB",
    "max_parallel_maintenance_workers": "0",
    "work_mem": "128MB",
}


def fill(dsn: str, task_types: Sequence[str], tasks: int, waiting_tasks: int, until: datetime) -> None:
    """Replace everything by so many ended tasks of the thirty days before a moment, and so many unfinished ones. Says
    on standard error how far it is.
    """
    began = time.monotonic()
    asyncio.run(_empty(dsn))
    begin = until - timedelta(days=DAYS)
    whole = (until - begin).total_seconds()
    groups: dict[str, Group] = {}
    done, said = 0, began
    with ProcessPoolExecutor(_PROCESSES) as pool:
        filled = {pool.submit(fill_waiting, dsn, tuple(task_types), until, waiting_tasks): 0}
        for start, end in _days(begin, until):
            share = round(tasks * (end - start).total_seconds() / whole)
            filled[pool.submit(fill_day, dsn, tuple(task_types), start, end, share)] = share
        for one in as_completed(filled):
            groups = {**one.result(), **groups}
            done += filled[one]
            if time.monotonic() - said > _SAY_SECONDS:
                said = time.monotonic()
                say(f"{done:,} of {tasks:,} ended tasks are there after {said - began:.0f} s")
    asyncio.run(settle(dsn, groups, until, DAYS))
    say(f"errors, dead letters and all that was seen of queues are there after {time.monotonic() - began:.0f} s")


def say(words: str) -> None:
    """Tell whoever waits: this takes minutes."""
    print(f"history: {words}", file=sys.stderr, flush=True)


def fill_day(dsn: str, task_types: tuple[str, ...], start: datetime, end: datetime, tasks: int) -> dict[str, Group]:
    """One day: its tasks, failed attempts, counters and errors. The groups of these."""
    day = Day(start, end, tasks, kinds_of(task_types), seed=start.toordinal())
    asyncio.run(store_day(dsn, day))
    return day.groups


def fill_waiting(dsn: str, task_types: tuple[str, ...], until: datetime, tasks: int) -> dict[str, Group]:
    """What is not finished: no error of theirs counts."""
    asyncio.run(_fill_waiting(dsn, waiting(kinds_of(task_types), until, tasks, WAITING_SECONDS)))
    return {}


async def _fill_waiting(dsn: str, lines: Iterator[bytes]) -> None:
    db = await asyncpg.connect(dsn, server_settings=_SESSION)
    try:
        async with db.transaction():
            await _copy(db, "task_live", WAITING_COLUMNS, lines)
            await keep_backlog(db)
        await db.execute("VACUUM ANALYZE task_live", timeout=None)
    finally:
        await db.close()


async def keep_backlog(db: "asyncpg.Connection[asyncpg.Record]") -> None:
    """The numbers of what waits, as they are kept where rows come one by one."""
    await db.execute(
        "INSERT INTO backlog (queue, state, held_reason, tasks)"
        " SELECT queue, state, CASE WHEN place = 'held' THEN coalesce(held_reason, '') ELSE '' END, count(*)"
        " FROM task_live WHERE place <> 'sent' GROUP BY 1, 2, 3",
        timeout=None,
    )


async def store_day(dsn: str, day: Day) -> None:
    """A day that has no partition yet, with what is counted of it."""
    db = await asyncpg.connect(dsn, server_settings=_SESSION)
    try:
        await _fill_tasks(db, day)
        await _copy(db, "task_attempt", ATTEMPT_COLUMNS, _encoded(day.attempts))
        await _copy(db, "task_metrics", KIND_COLUMNS, day.minutes.kind_lines())
        await _copy(db, "task_metrics_by_minute", NAMED_COLUMNS, day.minutes.named_lines())
        await add_up(db, day.start, day.end)
        await db.copy_records_to_table("error_count", records=day.error_counts())
    finally:
        await db.close()


async def _fill_tasks(db: "asyncpg.Connection[asyncpg.Record]", day: Day) -> None:
    name = partition_name(day.start.date())
    async with db.transaction():
        await db.execute(f"CREATE TABLE {name} (LIKE task INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        # As if it had been vacuumed: everybody sees all of it.
        await _copy(db, name, TASK_COLUMNS, day.lines(), freeze=True)
    definitions = await db.fetch(
        "SELECT pg_get_indexdef(indexrelid) AS words, indisprimary FROM pg_index WHERE indrelid = 'task'::regclass"
    )
    for definition in definitions:
        made = re.sub(r"^CREATE INDEX \S+ ON ONLY \S+", f"CREATE INDEX ON {name}", definition["words"])
        words = f"ALTER TABLE {name} ADD PRIMARY KEY (id)" if definition["indisprimary"] else made
        await db.execute(words, timeout=None)
    midnight = datetime.combine(day.start.date(), clock_time.min, UTC)
    low, high = (lowest_id(midnight + timedelta(days=days)) for days in (0, 1))
    await db.execute(f"ALTER TABLE {name} ADD CHECK (id >= '{low}' AND id < '{high}')")
    await db.execute(f"VACUUM ANALYZE {name}", timeout=None)
    await db.execute(f"ALTER TABLE task ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')")


async def _copy(
    db: "asyncpg.Connection[asyncpg.Record]",
    table: str,
    columns: Sequence[str],
    lines: Iterator[bytes],
    *,
    freeze: bool = False,
) -> None:
    async def source() -> AsyncIterator[bytes]:
        for part in lines:
            yield part

    await db.copy_to_table(table, source=source(), columns=list(columns), format="text", freeze=freeze, timeout=None)


def _encoded(lines: Iterable[str]) -> Iterator[bytes]:
    yield "".join(lines).encode()


async def _empty(dsn: str) -> None:
    """No task, and no day of the past or of today. The loops go on meanwhile, and take the locks in another order."""
    db = await asyncpg.connect(dsn)
    try:
        days = await db.fetch(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'task'::regclass AND c.relname LIKE 'task_day_%' AND c.relname <= $1",
            partition_name(datetime.now(UTC).date()),
        )
        for words in (*(f"DROP TABLE {name}" for (name,) in days), f"TRUNCATE {', '.join(_EMPTIED)}"):
            await _execute(db, words)
    finally:
        await db.close()


async def _execute(db: "asyncpg.Connection[asyncpg.Record]", words: str) -> None:
    for _ in range(_TRIES):
        try:
            await db.execute(words)
        except DeadlockDetectedError:
            continue
        return
    raise SystemExit(f"{words[:60]}: a deadlock each of {_TRIES} times")


def _days(begin: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    start = begin
    while start < until:
        end = min(datetime.combine(start.date() + timedelta(days=1), clock_time.min, UTC), until)
        yield start, end
        start = end
