"""Predictions of a sample of the tasks: kept when they are made, compared with what came, counted by queue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from pointsman_service.store.arrays import array_columns
from pointsman_service.store.metrics.histogram import merge
from pointsman_service.store.store import Connection

SPANS = (60, 3600)
"""Seconds: predictions are counted by minute and by hour."""

_COLUMNS = {
    "task_id": "uuid",
    "queue": "text",
    "priority": "smallint",
    "submitted_at": "timestamptz",
    "p50_seconds": "real",
    "p95_seconds": "real",
    "basis": "text",
    "kind": "smallint",
    "expected_seconds": "real",
    "flow_p50_seconds": "real",
    "flow_p95_seconds": "real",
    "history_p50_seconds": "real",
    "history_p95_seconds": "real",
}
_KEEP = text(
    f"INSERT INTO prediction ({', '.join(_COLUMNS)}) SELECT * FROM "
    + array_columns(_COLUMNS)
    + " ON CONFLICT DO NOTHING"
)

# The wait of the first attempt: what ran again is due anew. What was held did not only wait.
_FIRST = """CASE WHEN t.attempt = 1 THEN t.{0} ELSE
        (SELECT a.{0} FROM task_attempt a WHERE a.task_id = t.id AND a.attempt = 1) END""".format
_SEEN = text(f"""
    SELECT t.id, extract(epoch FROM {_FIRST("started_at")} - t.submitted_at)::float8 AS waited,
        t.held_seconds > 0 OR t.state = 'held' AS held, t.attempt > 0 AS started, false AS ended, t.task_type, t.caller,
        {_FIRST("worker")} AS worker
    FROM task_live t WHERE t.id = ANY(CAST(:ids AS uuid[]))
    UNION ALL
    SELECT t.id, extract(epoch FROM {_FIRST("started_at")} - t.submitted_at)::float8, t.held_seconds > 0, t.attempt > 0,
        true, t.task_type, t.caller, {_FIRST("worker")}
    FROM task t WHERE t.id = ANY(CAST(:ids AS uuid[])) AND t.id BETWEEN CAST(:low AS uuid) AND CAST(:high AS uuid)
""")
_SETTLE = text(
    "UPDATE prediction p SET settled_at = now(), waited_seconds = e.waited FROM "
    + array_columns({"id": "uuid", "waited": "real"}, "e")
    + """ WHERE p.task_id = e.id AND p.task_id = ANY(CAST(:id AS uuid[])) AND p.settled_at IS NULL
    RETURNING p.task_id, p.settled_at, p.late_at IS NOT NULL AS was_late,
        coalesce(p.waited_seconds <= p.p50_seconds, false) AS within_p50,
        coalesce(p.waited_seconds <= p.p95_seconds, false) AS within_p95"""
)
_LATE = text("""
    UPDATE prediction SET late_at = now()
    WHERE task_id = ANY(CAST(:ids AS uuid[])) AND late_at IS NULL AND settled_at IS NULL
    RETURNING task_id, late_at
""")

_TALLY_COLUMNS = {
    "queue": "text",
    "compared": "integer",
    "within_p50": "integer",
    "within_p95": "integer",
    "buckets": "text",
    "counts": "text",
}
# Arrays of arrays must be of one length, so each comes as text.
_ADD = text(
    "INSERT INTO prediction_metrics AS m"
    " (queue, span_seconds, at, compared, within_p50, within_p95, error_buckets, error_counts)"
    " SELECT e.queue, s.seconds, to_timestamp(floor(extract(epoch FROM now()) / s.seconds) * s.seconds), e.compared,"
    " e.within_p50, e.within_p95, CAST(e.buckets AS smallint[]), CAST(e.counts AS integer[]) FROM "
    + array_columns(_TALLY_COLUMNS, "e")
    + """ CROSS JOIN unnest(CAST(:spans AS integer[])) AS s (seconds)
    ON CONFLICT (queue, span_seconds, at) DO UPDATE SET compared = m.compared + excluded.compared,
        within_p50 = m.within_p50 + excluded.within_p50, within_p95 = m.within_p95 + excluded.within_p95,
        (error_buckets, error_counts) = (
            SELECT coalesce(array_agg(bucket ORDER BY bucket), '{}'), coalesce(array_agg(errors ORDER BY bucket), '{}')
            FROM (SELECT bucket, sum(errors)::integer AS errors
                FROM unnest(m.error_buckets || excluded.error_buckets, m.error_counts || excluded.error_counts)
                    AS pairs (bucket, errors)
                GROUP BY bucket) AS merged)
"""
)

_COMPARED = text("""
    SELECT queue, compared, within_p50, within_p95, error_buckets, error_counts FROM prediction_metrics
    WHERE span_seconds = :span AND at > now() - CAST(:window AS float8) * interval '1 second'
        - CAST(:span AS float8) * interval '1 second'
""")
_KEPT = f"SELECT {', '.join(_COLUMNS)}, late_at IS NOT NULL AS late, waited_seconds FROM prediction"
_RECORD = text(f"""
    {_KEPT} WHERE settled_at IS NOT NULL AND waited_seconds IS NOT NULL ORDER BY submitted_at DESC LIMIT :most
""")
_OPEN = text(f"{_KEPT} WHERE settled_at IS NULL ORDER BY submitted_at DESC LIMIT :most")


class KeptPrediction(NamedTuple):
    """What was told of one task when it was submitted; the fields are columns of ``prediction``."""

    task_id: UUID
    queue: str
    priority: int
    submitted_at: datetime
    p50_seconds: float
    p95_seconds: float
    basis: str
    kind: int
    expected_seconds: float
    flow_p50_seconds: float
    flow_p95_seconds: float
    history_p50_seconds: float | None
    history_p95_seconds: float | None


class Outcome(NamedTuple):
    """A kept prediction, as it stands."""

    told: KeptPrediction
    late: bool
    waited_seconds: float | None


class Seen(NamedTuple):
    """What the row of a task says of its first start."""

    waited_seconds: float | None
    """None: it has not started, or when it did is not known any more."""
    is_held: bool
    has_started: bool
    has_ended: bool
    task_type: str
    caller: str | None
    worker: str | None
    """Of the first attempt; None: it has not started, or which it was is not known any more."""


class Settled(NamedTuple):
    """A prediction that was open until now, by what stands in its row."""

    at: datetime
    was_late: bool
    within_p50: bool
    """False, like the next, where there is nothing to compare."""
    within_p95: bool


@dataclass(slots=True)
class Tally:
    """How predictions of one queue came out."""

    compared: int = 0
    within_p50: int = 0
    within_p95: int = 0
    errors: dict[int, int] | None = None
    """Histogram (``store.metrics.histogram``) of how far the p50 was from the wait."""


async def keep(connection: Connection, told: Sequence[KeptPrediction]) -> None:
    """Keep what was told; what is kept of a task already stays."""
    if told:
        columns: dict[str, object] = {name: [getattr(one, name) for one in told] for name in _COLUMNS}
        await connection.execute(_KEEP, columns)


async def seen(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Seen]:
    """What the rows of these tasks say; those that are gone are absent."""
    if not ids:
        return {}
    rows = await connection.execute(_SEEN, {"ids": list(ids), "low": min(ids), "high": max(ids)})
    return {row.id: Seen(*row[1:]) for row in rows}


async def settle(connection: Connection, waited: Mapping[UUID, float | None]) -> dict[UUID, Settled]:
    """Write down how long these waited; None: there is nothing to compare. Those that were open."""
    if not waited:
        return {}
    parameters: dict[str, object] = {"id": list(waited), "waited": list(waited.values())}
    return {row.task_id: Settled(*row[1:]) for row in await connection.execute(_SETTLE, parameters)}


async def mark_late(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, datetime]:
    """Write down that the p95 of these has passed; those of which that was news, with the moment."""
    if not ids:
        return {}
    return {row.task_id: row.late_at for row in await connection.execute(_LATE, {"ids": list(ids)})}


async def count(connection: Connection, tallies: Mapping[str, Tally]) -> None:
    """Add these to the minute and the hour of now; in the transaction of what they count."""
    if not tallies:
        return
    ordered = [(queue, tally, sorted((tally.errors or {}).items())) for queue, tally in sorted(tallies.items())]
    parameters: dict[str, object] = {
        "queue": [queue for queue, _, _ in ordered],
        "compared": [tally.compared for _, tally, _ in ordered],
        "within_p50": [tally.within_p50 for _, tally, _ in ordered],
        "within_p95": [tally.within_p95 for _, tally, _ in ordered],
        "buckets": [_array(bucket for bucket, _ in errors) for _, _, errors in ordered],
        "counts": [_array(number for _, number in errors) for _, _, errors in ordered],
        "spans": list(SPANS),
    }
    await connection.execute(_ADD, parameters)


def _array(numbers: Any) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"


async def compared(connection: Connection, window_seconds: float) -> dict[str, Tally]:
    """By queue, over a window up to now: of two hours at most by minute, else by hour, of which those count whole that
    lie partly in it.
    """
    span = SPANS[0] if window_seconds <= 2 * SPANS[1] else SPANS[1]
    found: dict[str, Tally] = {}
    for row in await connection.execute(_COMPARED, {"span": span, "window": window_seconds}):
        tally = found.setdefault(row.queue, Tally(errors={}))
        tally.compared += row.compared
        tally.within_p50 += row.within_p50
        tally.within_p95 += row.within_p95
        pairs = zip(row.error_buckets, row.error_counts, strict=True)
        tally.errors = merge((tally.errors or {}).items(), pairs)
    return found


async def record(connection: Connection, most: int) -> list[Outcome]:
    """The newest predictions that were compared, the oldest of them first."""
    return [_outcome(row) for row in reversed((await connection.execute(_RECORD, {"most": most})).all())]


async def still_open(connection: Connection, most: int) -> list[Outcome]:
    """The newest that were not, the oldest of them first."""
    return [_outcome(row) for row in reversed((await connection.execute(_OPEN, {"most": most})).all())]


def _outcome(row: Any) -> Outcome:
    return Outcome(KeptPrediction(*row[: len(_COLUMNS)]), row.late, row.waited_seconds)
