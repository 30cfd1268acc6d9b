"""QueueMetrics and WorkerMetrics: samples written down by minute, hour and day, and read over a window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import text

from pointsman_service.store.arrays import array_columns
from pointsman_service.store.store import Connection

QUEUE_FIGURES = (
    "depth",
    "waiting",
    "on_broker",
    "running",
    "held",
    "oldest_wait_seconds",
    "arrival_rate",
    "service_rate",
    "consumers",
    "window",
)
WORKER_FIGURES = ("processes", "busy", "utilization")

STEPS = (60, 3600, 86_400)
"""Seconds that a row is about: a minute, an hour, a day."""

Of = Literal["queue", "pool"]
"""What figures are of."""
_TABLES: Mapping[Of, str] = {"queue": "queue_metrics", "pool": "worker_metrics"}


class Sampled(NamedTuple):
    """What the samples of one figure came to within one minute."""

    name: str
    """The queue or the pool."""
    figure: str
    minute: datetime
    samples: int
    total: float
    low: float
    high: float
    last: float
    sampled_at: datetime


@dataclass(frozen=True, slots=True)
class PointRow:
    """What the samples of one figure came to within one step."""

    name: str
    at: datetime
    figure: str
    samples: int
    total: float
    low: float
    high: float
    last: float


@dataclass(frozen=True, slots=True)
class Flow:
    """What came and went on one queue since a moment."""

    submitted: int
    executions: int
    """Attempts ended, without plain Celery runs."""


_COLUMNS = {
    "name": "text",
    "figure": "text",
    "minute": "timestamptz",
    "samples": "bigint",
    "total": "float8",
    "low": "float8",
    "high": "float8",
    "last": "float8",
    "sampled_at": "timestamptz",
}
_BEGIN = "date_bin({step} * interval '1 second', {at}, timestamptz '2000-01-01 00:00+00')"
# In one order, so that of two who write at once none waits for the other while it waits for it.
_ADD = (
    f"""
    INSERT INTO {{table}} AS old ({{of}}, step_seconds, at, figure, samples, total, low, high, last, sampled_at)
    SELECT s.name, step, {_BEGIN.format(step="step", at="s.minute")}, s.figure,
        sum(s.samples), sum(s.total), min(s.low), max(s.high),
        (array_agg(s.last ORDER BY s.sampled_at DESC))[1], max(s.sampled_at)
    FROM unnest(ARRAY[{", ".join(map(str, STEPS))}]) AS steps (step) CROSS JOIN """
    + array_columns(_COLUMNS, "s")
    + """
    GROUP BY 1, 2, 3, 4 ORDER BY 2, 3, 4, 1
    ON CONFLICT (step_seconds, at, figure, {of}) DO UPDATE SET
        samples = old.samples + excluded.samples, total = old.total + excluded.total,
        low = least(old.low, excluded.low), high = greatest(old.high, excluded.high),
        last = CASE WHEN excluded.sampled_at >= old.sampled_at THEN excluded.last ELSE old.last END,
        sampled_at = greatest(old.sampled_at, excluded.sampled_at)
"""
)
# The last sample is that of the newest row, found by its key: to sort a day of minutes takes longer than all the rest.
_READ = f"""
    WITH steps AS (
        SELECT {{of}} AS name, {_BEGIN.format(step="CAST(:step AS float8)", at="at")} AS begins, figure,
            sum(samples)::bigint AS samples, sum(total) AS total, min(low) AS low, max(high) AS high, max(at) AS newest
        FROM {{table}}
        WHERE step_seconds = :kept AND at >= CAST(:since AS timestamptz) AND at < CAST(:until AS timestamptz)
            AND (CAST(:name AS text) IS NULL OR {{of}} = :name)
        GROUP BY 1, 2, 3
    )
    SELECT s.name, s.begins, s.figure, s.samples, s.total, s.low, s.high, (SELECT t.last FROM {{table}} t
        WHERE t.step_seconds = :kept AND t.at = s.newest AND t.figure = s.figure AND t.{{of}} = s.name) AS last
    FROM steps s ORDER BY s.name, s.begins
"""
_NEWEST = """
    SELECT max(sampled_at) FROM {table}
    WHERE step_seconds = 60 AND at = (SELECT max(at) FROM {table} WHERE step_seconds = 60)
"""
_FORGET = """
    DELETE FROM {table} WHERE (step_seconds, at, figure, {of}) IN (
        SELECT step_seconds, at, figure, {of} FROM {table}
        WHERE step_seconds = :step AND at < now() - CAST(:days AS float8) * interval '1 day' ORDER BY at LIMIT :most)
"""


_FLOW = text("""
    SELECT queue, sum(submitted)::bigint AS submitted, sum(executions - native)::bigint AS executions FROM (
        SELECT queue, submitted, executions, native FROM task_metrics WHERE minute >= CAST(:since AS timestamptz)
        UNION ALL
        SELECT queue, submitted, executions, native FROM task_metrics_delta WHERE minute >= CAST(:since AS timestamptz)
    ) AS counted GROUP BY queue
""")
_ADDS = {of: text(_ADD.format(of=of, table=table)) for of, table in _TABLES.items()}
_READS = {of: text(_READ.format(of=of, table=table)) for of, table in _TABLES.items()}
_NEWESTS = {of: text(_NEWEST.format(table=table)) for of, table in _TABLES.items()}
_FORGETS = {of: text(_FORGET.format(of=of, table=table)) for of, table in _TABLES.items()}


async def add(connection: Connection, of: Of, sampled: Sequence[Sampled]) -> None:
    """Add samples to their minute, its hour and its day."""
    if sampled:
        columns = zip(_COLUMNS, map(list, zip(*sampled, strict=True)), strict=True)
        await connection.execute(_ADDS[of], dict(columns))


async def read(
    connection: Connection, of: Of, step_seconds: int, since: datetime, until: datetime, name: str | None = None
) -> list[PointRow]:
    """What was sampled from ``since`` to before ``until``, by name and step; of one queue or pool alone with ``name``.

    Steps are counted from the first moment of 2000, in UTC; ``step_seconds`` is a multiple of 60. Of a step without a
    sample there is no row.
    """
    kept = max(step for step in STEPS if step_seconds % step == 0)
    parameters = {"step": step_seconds, "kept": kept, "since": since, "until": until, "name": name}
    # All at once: to take thousands one by one is half of the time.
    return [PointRow(*row) for row in (await connection.execute(_READS[of], parameters)).all()]


async def sampled_at(connection: Connection, of: Of) -> datetime | None:
    """When a sample was last written down; None: never, or so long ago that no minute is kept."""
    found: datetime | None = (await connection.execute(_NEWESTS[of])).scalar_one_or_none()
    return found


async def flow(connection: Connection, since: datetime) -> dict[str, Flow]:
    """What came and went by queue since the minute of a moment."""
    rows = await connection.execute(_FLOW, {"since": since.replace(second=0, microsecond=0)})
    return {row.queue: Flow(row.submitted, row.executions) for row in rows}


async def forget(connection: Connection, step_seconds: int, days: float, most: int) -> int:
    """Delete up to ``most`` rows of each kind, of this step and older than so many days. Returns the larger number."""
    parameters = {"step": step_seconds, "days": days, "most": most}
    return max([(await connection.execute(_FORGETS[of], parameters)).rowcount for of in _TABLES])
