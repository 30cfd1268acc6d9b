"""Counters of ``TaskMetrics``: deltas, written with what they count. ``folding`` adds them up, ``summing`` reads."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert

from pointsman_service.store.metrics.histogram import bucket_of, merge
from pointsman_service.store.models import TaskMetricsDelta
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
    "held",
    "rescued",
    "cancelled_running",
    "held_seconds_sum",
    "predicted",
    "kept",
    "kept_p50",
)
SECONDS = frozenset({"run_seconds_sum", "queue_wait_seconds_sum", "held_seconds_sum"})
"""Those of them that are no whole numbers."""


_KEY = ("task_type", "queue", "minute", "caller", "error", "pool")
_Key = tuple[str, str, datetime, str | None, str | None, str | None]
"""What one delta is of."""


@dataclass(slots=True)
class Tally:
    """What happened in one minute to one task type on one queue, for one caller, with one error, in one pool."""

    counts: Counter[str] = field(default_factory=Counter)
    run: Counter[int] = field(default_factory=Counter)
    wait: Counter[int] = field(default_factory=Counter)
    run_seconds_sum: float = 0.0
    queue_wait_seconds_sum: float = 0.0
    held_seconds_sum: float = 0.0

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
        self._tallies: dict[_Key, Tally] = {}

    def of(
        self,
        task_type: str,
        queue: str,
        at: datetime,
        caller: str | None = None,
        pool: str | None = None,
        error: str | None = None,
    ) -> Tally:
        """The tally of the minute of ``at``. Without a caller, a pool or an error it is of none."""
        key = (task_type, queue, at.replace(second=0, microsecond=0), caller, error, pool)
        found = self._tallies.get(key)
        if found is None:
            found = self._tallies[key] = Tally()
        return found

    def rows(self) -> list[dict[str, Any]]:
        """A row for each tally, all with the same columns."""
        return [_row(key, tally) for key, tally in self._tallies.items()]


def _row(key: _Key, tally: Tally) -> dict[str, Any]:
    row: dict[str, Any] = {name: tally.counts.get(name, 0) for name in COUNTERS}
    row["run_seconds_sum"] = tally.run_seconds_sum
    row["queue_wait_seconds_sum"] = tally.queue_wait_seconds_sum
    row["held_seconds_sum"] = tally.held_seconds_sum
    row |= dict(zip(_KEY, key, strict=True))
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


def sum_rows(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of counter rows, histograms included."""
    rows = list(rows)
    total: dict[str, Any] = {name: sum(row[name] for row in rows) for name in COUNTERS}
    for name in ("run", "wait"):
        pairs = (zip(row[f"{name}_buckets"], row[f"{name}_counts"], strict=True) for row in rows)
        total |= _arrays(name, merge(*pairs))
    return total
