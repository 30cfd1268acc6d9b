"""Counters of ``TaskMetrics``: deltas written with what they count, folded by a leader (``watching`` reads them)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Integer, Table, bindparam, delete, insert, select, text
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as upsert

from pointsman_service.store.metrics.histogram import bucket_of, merge
from pointsman_service.store.models import TaskMetrics, TaskMetricsDelta
from pointsman_service.store.store import Connection

COUNTERS = (
    "submitted",
    "started",
    "executions",
    "succeeded",
    "failed",
    "cancelled",
    "expired",
    "retried",
    "timed_out",
    "interrupted",
    "uncertain_sendings",
    "duplicates",
    "native",
    "native_succeeded",
    "native_failed",
    "native_retried",
    "sla_met",
    "sla_missed",
    "run_seconds_sum",
    "queue_wait_seconds_sum",
)


@dataclass(slots=True)
class Tally:
    """What happened to one task type on one queue in one minute."""

    counts: Counter[str] = field(default_factory=Counter)
    run: Counter[int] = field(default_factory=Counter)
    wait: Counter[int] = field(default_factory=Counter)
    run_seconds_sum: float = 0.0
    queue_wait_seconds_sum: float = 0.0

    def ran(self, seconds: float) -> None:
        """One execution of that run time."""
        self.run_seconds_sum += seconds
        self.run[bucket_of(seconds)] += 1

    def waited(self, seconds: float) -> None:
        """One start after that queue wait."""
        self.queue_wait_seconds_sum += seconds
        self.wait[bucket_of(seconds)] += 1


class Tallies:
    """The tallies of one batch."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str, datetime], Tally] = {}

    def of(self, task_type: str, queue: str, at: datetime) -> Tally:
        """The tally of the minute of ``at``."""
        key = (task_type, queue, at.replace(second=0, microsecond=0))
        found = self._tallies.get(key)
        if found is None:
            found = self._tallies[key] = Tally()
        return found

    def rows(self) -> list[dict[str, Any]]:
        """A row for each tally, all with the same columns."""
        return [_row(key, tally) for key, tally in sorted(self._tallies.items())]


def _row(key: tuple[str, str, datetime], tally: Tally) -> dict[str, Any]:
    row: dict[str, Any] = {name: tally.counts.get(name, 0) for name in COUNTERS}
    row["run_seconds_sum"] = tally.run_seconds_sum
    row["queue_wait_seconds_sum"] = tally.queue_wait_seconds_sum
    row |= dict(zip(("task_type", "queue", "minute"), key, strict=True))
    return row | _arrays("run", tally.run) | _arrays("wait", tally.wait)


def _arrays(name: str, counts: Mapping[int, int]) -> dict[str, list[int]]:
    ordered = sorted(counts.items())
    return {f"{name}_buckets": [bucket for bucket, _ in ordered], f"{name}_counts": [count for _, count in ordered]}


_ADD = insert(TaskMetricsDelta)


async def add(connection: Connection, tallies: Tallies) -> None:
    """Insert the deltas; in the transaction of what they count."""
    rows = tallies.rows()
    if rows:
        await connection.execute(_ADD, rows)


_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('pointsman rollup'))")
# Deltas that are inserted meanwhile have higher ids, or are not seen yet: they stay for the next pass.
_TAKE_OLDEST = (
    delete(TaskMetricsDelta)
    .where(
        TaskMetricsDelta.id.in_(
            select(TaskMetricsDelta.id).order_by(TaskMetricsDelta.id).limit(bindparam("most", type_=Integer))
        )
    )
    .returning(*TaskMetricsDelta.__table__.c)
)

_KEY = ("minute", "task_type", "queue")
_TABLE = cast(Table, TaskMetrics.__table__)
_FIND = select(_TABLE).where(*(_TABLE.c[name] == bindparam(name) for name in _KEY)).with_for_update()


def _replace() -> Insert:
    made = upsert(_TABLE)
    others = {column.name: made.excluded[column.name] for column in _TABLE.c if column.name not in _KEY}
    return made.on_conflict_do_update(index_elements=_KEY, set_=others)


_REPLACE = _replace()


async def fold(connection: Connection, most: int) -> int:
    """Move up to ``most`` deltas into the rollup. One caller at a time, in a transaction. Returns how many it moved."""
    await connection.execute(_LOCK)
    deltas = [dict(row) for row in (await connection.execute(_TAKE_OLDEST, {"most": most})).mappings()]
    if not deltas:
        return 0
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in deltas:
        groups.setdefault((row["minute"], row["task_type"], row["queue"]), []).append(row)
    for key in sorted(groups):
        await _fold_group(connection, key, groups[key])
    return len(deltas)


_OF_OLD_MINUTES = text("""
    DELETE FROM task_metrics WHERE (minute, task_type, queue) IN (
        SELECT minute, task_type, queue FROM task_metrics
        WHERE minute < date_trunc('day', CAST(:before AS timestamptz), 'UTC')
            AND minute <> date_trunc('day', minute, 'UTC')
        ORDER BY minute LIMIT :most)
    RETURNING *, date_trunc('day', minute, 'UTC') AS day
""")


async def fold_days(connection: Connection, before: datetime, most: int) -> int:
    """Make one row of a day, under its first minute, of up to ``most`` rows of the days before ``before``.

    No sum over everything changes. One caller at a time, in a transaction. Returns how many rows it took.
    """
    await connection.execute(_LOCK)
    rows = [
        dict(row) for row in (await connection.execute(_OF_OLD_MINUTES, {"before": before, "most": most})).mappings()
    ]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["day"], row["task_type"], row["queue"]), []).append(row)
    for key in sorted(groups):
        await _fold_group(connection, key, groups[key])
    return len(rows)


async def _fold_group(connection: Connection, key: tuple[Any, ...], rows: list[dict[str, Any]]) -> None:
    named = dict(zip(_KEY, key, strict=True))
    found = (await connection.execute(_FIND, named)).mappings().one_or_none()
    total = sum_rows([*rows, *([dict(found)] if found else [])])
    await connection.execute(_REPLACE, named | total)


def sum_rows(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of counter rows, histograms included."""
    rows = list(rows)
    total: dict[str, Any] = {name: sum(row[name] for row in rows) for name in COUNTERS}
    for name in ("run", "wait"):
        pairs = (zip(row[f"{name}_buckets"], row[f"{name}_counts"], strict=True) for row in rows)
        total |= _arrays(name, merge(*pairs))
    return total
