"""The system as a whole: sums of ``TaskMetrics``, workers, and who leads."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import text

from pointsman_service.store.metrics.counters import COUNTERS
from pointsman_service.store.store import Connection

GroupBy = Literal["task_type", "queue", "both", "none"]


@dataclass(frozen=True, slots=True)
class Sums:
    """What ``TaskMetrics`` says of one task type, one queue, both, or everything."""

    task_type: str | None
    """None when not grouped by it."""
    queue: str | None
    """None when not grouped by it."""
    counts: dict[str, float]
    """By ``pointsman_service.store.metrics.counters.COUNTERS``."""
    run: dict[int, int]
    """Histogram of run time (``pointsman_service.store.metrics.histogram``)."""
    wait: dict[int, int]
    """Histogram of queue wait."""
    covered_seconds: float
    """From the first minute counted until the window's end; 0 without a window."""


@dataclass(frozen=True, slots=True)
class LeadRow:
    """One lead."""

    left_seconds: float
    """Until it ends unless it is renewed; not above 0 when nobody leads."""
    given_up: bool
    """Whether its holder ended in order."""


_KEYS: dict[GroupBy, str] = {
    "task_type": "task_type, '' AS queue",
    "queue": "'' AS task_type, queue",
    "both": "task_type, queue",
    "none": "'' AS task_type, '' AS queue",
}
_READ = "{keys}, {counters}, run_buckets, run_counts, wait_buckets, wait_counts FROM {table} {where}"
_HISTOGRAM = """
    SELECT task_type, queue, array_agg(bucket) AS buckets, array_agg(observations) AS observations FROM (
        SELECT task_type, queue, bucket, sum(count)::bigint AS observations
        FROM counted CROSS JOIN LATERAL unnest({name}_buckets, {name}_counts) AS pairs (bucket, count)
        GROUP BY task_type, queue, bucket
    ) AS by_bucket GROUP BY task_type, queue
"""


def _sums(group_by: GroupBy, windowed: bool) -> str:
    where = "WHERE minute >= (SELECT since FROM span) AND minute < (SELECT before FROM span)" if windowed else ""
    counters = ", ".join(COUNTERS)
    sides = [
        "SELECT " + _READ.format(keys=_KEYS[group_by], counters=counters, table=table, where=where)
        for table in ("task_metrics", "task_metrics_delta")
    ]
    totals = ", ".join(f"sum({name})::float8 AS {name}" for name in COUNTERS)
    return f"""
        WITH span AS (
            SELECT date_trunc('minute', least(before, now()) - CAST(:window AS float8) * interval '1 second') AS since,
                before, least(before, now()) AS ends
            FROM (SELECT coalesce(CAST(:until AS timestamptz), 'infinity') AS before) AS given
        ), counted AS ({" UNION ALL ".join(sides)})
        , totals AS (SELECT task_type, queue, {totals} FROM counted GROUP BY task_type, queue)
        , run AS ({_HISTOGRAM.format(name="run")})
        , wait AS ({_HISTOGRAM.format(name="wait")})
        SELECT totals.*, run.buckets AS run_buckets, run.observations AS run_counts,
            wait.buckets AS wait_buckets, wait.observations AS wait_counts,
            coalesce((SELECT extract(epoch FROM ends - since) FROM span), 0)::float8 AS covered_seconds
        FROM totals LEFT JOIN run USING (task_type, queue) LEFT JOIN wait USING (task_type, queue)
        ORDER BY task_type, queue
    """


_SUMS = {
    (group_by, windowed): text(_sums(group_by, windowed=windowed)) for group_by in _KEYS for windowed in (True, False)
}
"""By what they are grouped, and whether over a window or over everything."""

_WORKERS = text("""
    SELECT owner, name, pool, queues, processes, pid, host, contract, started_at,
        greatest(0, extract(epoch FROM now() - last_seen_at))::float8 AS heartbeat_age_seconds
    FROM worker WHERE last_seen_at > now() - CAST(:seen_within AS float8) * interval '1 second'
    ORDER BY name, started_at
""")

_LEADS = text(
    "SELECT name, extract(epoch FROM expires_at - now())::float8 AS left_seconds, holder = '' AS given_up FROM leader"
)

_TASK_TYPES = text("SELECT count(DISTINCT name) FROM task_type")


async def sums(
    connection: Connection, group_by: GroupBy, window_seconds: float | None, until: datetime | None = None
) -> list[Sums]:
    """Counters and histograms added up by the database over ``window_seconds`` up to a moment, or over everything kept.

    The moment is ``until``, by default now.
    A minute that lies partly in the window counts whole. Groups without a row are absent.
    """
    statement = _SUMS[group_by, window_seconds is not None]
    return [
        Sums(
            task_type=row["task_type"] or None,
            queue=row["queue"] or None,
            counts={name: row[name] for name in COUNTERS},
            run=dict(zip(row["run_buckets"] or (), row["run_counts"] or (), strict=True)),
            wait=dict(zip(row["wait_buckets"] or (), row["wait_counts"] or (), strict=True)),
            covered_seconds=row["covered_seconds"],
        )
        for row in (await connection.execute(statement, {"window": window_seconds, "until": until})).mappings()
    ]


async def workers(connection: Connection, seen_within_seconds: float) -> list[dict[str, Any]]:
    """Worker parents whose beat was seen lately, with ``heartbeat_age_seconds`` on the database clock."""
    rows = await connection.execute(_WORKERS, {"seen_within": seen_within_seconds})
    return [dict(row) for row in rows.mappings()]


async def leads(connection: Connection) -> dict[str, LeadRow]:
    """Every lead that anybody ever had, by name."""
    return {row.name: LeadRow(row.left_seconds, row.given_up) for row in await connection.execute(_LEADS)}


async def task_type_count(connection: Connection) -> int:
    """How many task types were ever published."""
    found: int = (await connection.execute(_TASK_TYPES)).scalar_one()
    return found
