"""Sums over everything kept, in one row that every process tells.

Each process summing up for itself, at its own times, would contradict the others: behind one address a counter would
fall, which Prometheus takes for a restart. The row is renewed by one process at a time, and every number in it only
rises: what is kept no longer goes on being counted.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text

from pointsman_service.store.metrics import summing
from pointsman_service.store.metrics.counters import COUNTERS
from pointsman_service.store.metrics.summing import Sums
from pointsman_service.store.store import Connection

Key = tuple[str | None, str | None]
"""Task type and queue."""

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
    gone: Mapping[Key, Sums]
    """What of them is kept no longer."""
    is_whole: bool = True
    """False: the release before wrote it, and knows less to count. What it did not count is 0 here."""


async def read(connection: Connection) -> Totals | None:
    """What the row says; None when there is none."""
    row = (await connection.execute(_READ, {"name": _NAME})).one_or_none()
    if row is None:
        return None
    told = json.loads(row.sums)
    sums = [_sums(part, told["counters"]) for part in told["parts"]]
    # The release before says nothing of what is gone.
    gone = {_key(part): part for part in (_sums(part, told["counters"]) for part in told.get("gone", ()))}
    is_whole = set(COUNTERS) <= set(told["counters"])
    return Totals(sums, row.age_seconds, row.took_seconds, gone, is_whole)


async def renew(connection: Connection) -> bool:
    """Sum up anew, in a transaction; False, and nothing is done, while another process does."""
    if not (await connection.execute(_ALONE)).scalar_one():
        return False
    before = await read(connection)
    began = time.monotonic()
    sums = await summing.everything(connection)
    took = time.monotonic() - began
    told = _never_less(sums, () if before is None else before.sums, {} if before is None else before.gone)
    parts = [_plain(part) for part in told.values()]
    gone = [_plain(part) for part in _differences(told, sums)]
    kept = json.dumps({"counters": COUNTERS, "parts": parts, "gone": gone}, separators=(",", ":"))
    await connection.execute(_WRITE, {"name": _NAME, "sums": kept, "took_seconds": took})
    return True


def _never_less(sums: Iterable[Sums], before: Iterable[Sums], gone: Mapping[Key, Sums]) -> dict[Key, Sums]:
    """What is kept and what is gone together, and of each number no less than was said before: rows leave by their age,
    and seconds that are added up in another order may be a little less.
    """
    told = {_key(part): _combined(part, gone.get(_key(part)), _plus) for part in sums}
    told |= {key: part for key, part in gone.items() if key not in told}
    for part in before:
        told[_key(part)] = _combined(part, told.get(_key(part)), max)
    return told


def _differences(told: Mapping[Key, Sums], sums: Iterable[Sums]) -> Iterator[Sums]:
    """What of ``told`` is not in ``sums``, where there is any."""
    kept = {_key(part): part for part in sums}
    for key, part in told.items():
        left = _combined(part, kept.get(key), _minus)
        if any(left.counts.values()):
            yield left


def _combined(part: Sums, other: Sums | None, how: Callable[[Any, Any], Any]) -> Sums:
    if other is None:
        return part
    run, wait = (
        {b: how(x.get(b, 0), y.get(b, 0)) for b in x.keys() | y.keys()}
        for x, y in ((part.run, other.run), (part.wait, other.wait))
    )
    counts = {name: how(number, other.counts[name]) for name, number in part.counts.items()}
    return replace(part, counts=counts, run=run, wait=wait)


def _plus(one: float, other: float) -> float:
    return one + other


def _minus(one: float, other: float) -> float:
    return one - other


def _key(sums: Sums) -> Key:
    return sums.task_type, sums.queue


def _plain(sums: Sums) -> list[object]:
    counts = [sums.counts[name] for name in COUNTERS]
    return [sums.task_type, sums.queue, counts, list(sums.run.items()), list(sums.wait.items())]


def _sums(part: list[object], counters: Iterable[str]) -> Sums:
    task_type, queue, counts, run, wait = part
    counted = dict(zip(counters, counts, strict=True))  # type: ignore[call-overload]  # as ``_plain`` wrote it
    return Sums(
        task_type=task_type,  # type: ignore[arg-type]
        queue=queue,  # type: ignore[arg-type]
        counts={name: counted.get(name, 0.0) for name in COUNTERS},
        run=dict(run),  # type: ignore[call-overload]
        wait=dict(wait),  # type: ignore[call-overload]
        covered_seconds=0.0,
    )
