"""Sums over everything kept, in one row that every process tells.

Each process summing up for itself, at its own times, would contradict the others: behind one address a counter would
fall, which Prometheus takes for a restart. The row is renewed by one process at a time, and every number in it only
rises.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text

from pointsman_service.store.metrics import watching
from pointsman_service.store.metrics.counters import COUNTERS
from pointsman_service.store.metrics.watching import Sums
from pointsman_service.store.store import Connection

_SECONDS = ("run_seconds_sum", "queue_wait_seconds_sum")
_ROUNDING = 1e-9
_NAME = "task_type, queue"
_READ = text("""
    SELECT sums, took_seconds, greatest(0, extract(epoch FROM clock_timestamp() - taken_at))::float8 AS age_seconds
    FROM totals WHERE name = :name
""")
_ALONE = text("SELECT pg_try_advisory_xact_lock(hashtext('pointsman totals'))")
# The clock may have been set back; the row is as new as it is.
_WRITE = text("""
    INSERT INTO totals (name, sums, taken_at, took_seconds) VALUES (:name, :sums, clock_timestamp(), :took_seconds)
    ON CONFLICT (name) DO UPDATE
    SET sums = excluded.sums, taken_at = excluded.taken_at, took_seconds = excluded.took_seconds
""")


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums as they were last taken."""

    sums: list[Sums]
    """By task type and queue."""
    age_seconds: float
    took_seconds: float


async def read(connection: Connection) -> Totals | None:
    """What the row says; None when there is none, or it is of a version that counts otherwise."""
    row = (await connection.execute(_READ, {"name": _NAME})).one_or_none()
    if row is None:
        return None
    told = json.loads(row.sums)
    if told["counters"] != list(COUNTERS):
        return None
    return Totals([_sums(part) for part in told["parts"]], row.age_seconds, row.took_seconds)


async def renew(connection: Connection) -> bool:
    """Sum up anew, in a transaction; False, and nothing is done, while another process does."""
    if not (await connection.execute(_ALONE)).scalar_one():
        return False
    before = await read(connection)
    said = {} if before is None else {(part.task_type, part.queue): part.counts for part in before.sums}
    began = time.monotonic()
    sums = await watching.sums(connection, "both", None)
    took = time.monotonic() - began
    for part in sums:
        _settle(part.counts, said.get((part.task_type, part.queue), {}))
    told = json.dumps({"counters": COUNTERS, "parts": [_plain(part) for part in sums]}, separators=(",", ":"))
    await connection.execute(_WRITE, {"name": _NAME, "sums": told, "took_seconds": took})
    return True


def _settle(counts: dict[str, float], before: Mapping[str, float]) -> None:
    """Keep the seconds of before where they now are a little less: added up in another order they may be."""
    for name in _SECONDS:
        if 0 < before.get(name, 0.0) - counts[name] < _ROUNDING * counts[name]:
            counts[name] = before[name]


def _plain(sums: Sums) -> list[object]:
    counts = [sums.counts[name] for name in COUNTERS]
    return [sums.task_type, sums.queue, counts, list(sums.run.items()), list(sums.wait.items())]


def _sums(part: list[object]) -> Sums:
    task_type, queue, counts, run, wait = part
    return Sums(
        task_type=task_type,  # type: ignore[arg-type]  # as ``_plain`` wrote it
        queue=queue,  # type: ignore[arg-type]
        counts=dict(zip(COUNTERS, counts, strict=True)),  # type: ignore[call-overload]
        run=dict(run),  # type: ignore[call-overload]
        wait=dict(wait),  # type: ignore[call-overload]
        covered_seconds=0.0,
    )
