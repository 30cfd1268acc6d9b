"""Sums of ``TaskMetrics``: over a window, over each step of one, or over everything.

However long the window is, a statement reads the same few spans of minutes, hours and days (``reach``), and what was
counted since the last fold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal

from sqlalchemy import TextClause, text

from pointsman_service.store.metrics import reach as reaching
from pointsman_service.store.metrics.counters import COUNTERS, SECONDS
from pointsman_service.store.metrics.reach import NEVER, Kept, Reach
from pointsman_service.store.store import Connection

GroupBy = Literal["task_type", "queue", "both", "none", "caller", "error", "pool"]
NAMED: tuple[GroupBy, ...] = ("caller", "error", "pool")
"""Groups whose names others choose: they have rows of their own, for a bounded number of names a day."""
HISTOGRAMS = ("run", "wait")


@dataclass(frozen=True, slots=True)
class Sums:
    """What ``TaskMetrics`` says of one group, or of everything."""

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
    name: str | None = None
    """The caller, the type of error or the pool. None when not grouped by one, and of what has none."""
    is_others: bool = False
    """Whether it is of all groups together that have no item of their own."""
    step: datetime | None = None
    """When its step of the window begins; None without steps."""


@dataclass(frozen=True, slots=True)
class Windowed:
    """Sums, and what they are of."""

    sums: list[Sums]
    reach: Reach
    now: datetime
    """When they were read."""
    step: timedelta | None = None
    """How long each step is; None without steps."""

    @property
    def until(self) -> datetime:
        """The end of what they cover: nothing of the time after ``now`` is known yet."""
        return min(self.reach.ends, self.now)


_SPANS = (
    ("day", "old_days"),
    ("minute", "first_minutes"),
    ("hour", "first_hours"),
    ("day", "days"),
    ("hour", "last_hours"),
    ("minute", "last_minutes"),
)
_TABLES = {"minute": "task_metrics", "hour": "task_metrics_hour", "day": "task_metrics_day"}
_ARRAYS = ", ".join(f"{name}_{part}" for name in HISTOGRAMS for part in ("buckets", "counts"))
_KEYS: dict[GroupBy, tuple[str, ...]] = {
    "task_type": ("task_type",),
    "queue": ("queue",),
    "both": ("task_type", "queue"),
    "none": ("whole",),
    **dict.fromkeys(NAMED, ("name", "is_named")),
}
_APART = 100_000
"""Between the numbers of the buckets of two histograms: one grouping adds up both."""
_EVER = "CAST('1970-01-01 00:00:00+00' AS timestamptz)"
_WHAT = f"{', '.join(COUNTERS)}, {_ARRAYS}"


def _part(keys: Mapping[str, str], table: str, at: str, span: str, more: str = "") -> str:
    named = ", ".join(f"{sql} AS {name}" for name, sql in keys.items())
    return (
        f"SELECT {named}, {_WHAT} FROM {table}"
        f" WHERE {at} >= CAST(:{span}_since AS timestamptz) AND {at} < CAST(:{span}_before AS timestamptz){more}"
    )


def _keys_of(group_by: GroupBy, at: str, name: str | None, *, stepped: bool) -> dict[str, str]:
    """SQL: what a row is added up under. In steps, whoever is not among those asked for is one of the others."""
    keys = {"whole": "0"} if group_by == "none" else {key: key for key in _KEYS[group_by]}
    if group_by in NAMED:
        keys = {"name": name or "''", "is_named": "false" if name is None else "true"}
    if not stepped:
        return keys
    for key in ("task_type", "queue", "name"):
        if key in keys:
            keys[key] = f"CASE WHEN {keys[key]} = ANY(CAST(:names AS text[])) THEN {keys[key]} ELSE '' END"
    return keys | {"step": f"date_bin(CAST(:step AS interval), {at}, {_EVER})"}


def _parts(group_by: GroupBy, *, stepped: bool) -> list[str]:
    """What is added up: every row that the window reaches, and every delta of its time."""
    found = [_part(_keys_of(group_by, unit, None, stepped=stepped), _TABLES[unit], unit, span) for unit, span in _SPANS]
    found.append(_part(_keys_of(group_by, "minute", None, stepped=stepped), "task_metrics_delta", "minute", "window"))
    if group_by in NAMED:
        # Beside everything: what has no name is the difference.
        of, known = f" AND grouped_by = '{group_by}'", f" AND {group_by} IS NOT NULL"
        for unit, span in _SPANS:
            keys = _keys_of(group_by, unit, "name", stepped=stepped)
            found.append(_part(keys, f"task_metrics_by_{unit}", unit, span, of))
        keys = _keys_of(group_by, "minute", group_by, stepped=stepped)
        found.append(_part(keys, "task_metrics_delta", "minute", "window", known))
    return found


def added_up(parts: Sequence[str], keys: Sequence[str], *, histograms: bool = True) -> str:
    """SQL: expressions of a WITH, and a SELECT of the sums of all rows of these SELECTs by ``keys``, with their
    histograms, or without.
    """
    by = ", ".join(keys)
    sums = ", ".join(f"sum({name}){'' if name in SECONDS else '::bigint'} AS {name}" for name in COUNTERS)
    counted = " UNION ALL ".join(parts)
    if not histograms:
        nothing = ", ".join(f"CAST('{{}}' AS int[]) AS {name}" for name in _ARRAYS.split(", "))
        return f"WITH counted AS ({counted}) SELECT {by}, {sums}, {nothing} FROM counted GROUP BY {by}"
    observed = " UNION ALL ".join(
        f"SELECT {by}, bucket + {number * _APART} AS code, n FROM counted"
        f" CROSS JOIN LATERAL unnest({name}_buckets, {name}_counts) AS pairs (bucket, n)"
        for number, name in enumerate(HISTOGRAMS)
    )
    arrays = ", ".join(
        f"array_agg({what} ORDER BY code) FILTER (WHERE code {'>=' if number else '<'} {_APART // 2}) AS {name}_{part}"
        for number, name in enumerate(HISTOGRAMS)
        for part, what in (("buckets", f"code - {number * _APART}"), ("counts", "n"))
    )
    found = ", ".join(f"coalesce(h.{name}, '{{}}') AS {name}" for name in _ARRAYS.split(", "))
    return f"""WITH counted AS MATERIALIZED ({counted}),
        totals AS (SELECT {by}, {sums} FROM counted GROUP BY {by}),
        by_bucket AS (SELECT {by}, code, sum(n) AS n FROM ({observed}) AS observed GROUP BY {by}, code),
        histograms AS (SELECT {by}, {arrays} FROM by_bucket GROUP BY {by})
        SELECT t.*, {found} FROM totals t LEFT JOIN histograms h USING ({by})"""


@cache
def statement(group_by: GroupBy, *, stepped: bool, histograms: bool) -> TextClause:
    """The sums by group, in a window or in each of its steps, with the histograms of durations or without."""
    keys = (*_KEYS[group_by], "step") if stepped else _KEYS[group_by]
    sql = added_up(_parts(group_by, stepped=stepped), keys, histograms=histograms)
    return text(f"{sql} ORDER BY {', '.join(keys)}")


_KEPT = text("""
    SELECT now() AS now, minutes_since, hours_since, days_since, carried_to FROM task_metrics_kept
    UNION ALL SELECT now(), :ever, :ever, :ever, NULL WHERE NOT EXISTS (SELECT FROM task_metrics_kept)
""")


_HOURS_WITHIN = "(SELECT count(*) FROM task_metrics{by}_hour WHERE hour >= :since AND hour < :before{of})"
_HOURS = text(f"SELECT {_HOURS_WITHIN.format(by='', of='')}")
_HOURS_NAMED = text(
    f"SELECT {_HOURS_WITHIN.format(by='', of='')}"
    f" + {_HOURS_WITHIN.format(by='_by', of=' AND grouped_by = :grouped_by')}"
)


async def kept(connection: Connection) -> tuple[Kept, datetime]:
    """How far back each resolution goes, and the time of the database."""
    row = (await connection.execute(_KEPT, {"ever": reaching.EVER})).one()
    return Kept(row.minutes_since, row.hours_since, row.days_since, row.carried_to), row.now


async def over_window(
    connection: Connection,
    group_by: GroupBy,
    window_seconds: float,
    until: datetime | None = None,
    *,
    histograms: bool = True,
) -> Windowed:
    """The sums of each group over ``window_seconds`` up to a moment: ``until``, by default now.

    A minute that lies partly in the window counts whole; so does an hour or a day where nothing finer is kept. Groups
    without a row are absent.
    """
    known, now = await kept(connection)
    begins, ends = _bounds(now, window_seconds, until)
    found = reaching.reach(begins, ends, known)
    rows = await _read(connection, group_by, found, histograms=histograms)
    covered = max(0.0, (min(found.ends, now) - found.begins).total_seconds())
    return Windowed(_of(rows, group_by, covered), found, now)


async def over_steps(
    connection: Connection,
    group_by: GroupBy,
    window_seconds: float,
    until: datetime | None,
    step: timedelta,
    names: Sequence[str] = (),
    *,
    histograms: bool = True,
) -> Windowed:
    """The sums of the groups of these ``names``, and of all others together, over each step of the window.
    ``step`` divides a day; one without a row is absent.
    """
    known, now = await kept(connection)
    begins, ends = _bounds(now, window_seconds, until)
    found, step = reaching.stepped(begins, min(ends, now), step, known)
    rows = await _read(connection, group_by, found, step, names, histograms=histograms)
    covered = step.total_seconds()
    return Windowed(_of(rows, group_by, covered, stepped=True), found, now, step)


async def minutes_within(
    connection: Connection, group_by: GroupBy, window_seconds: float, until: datetime | None
) -> int:
    """So many rows of minutes the window has at most, by its hours; none where hours are not kept."""
    _, now = await kept(connection)
    begins, ends = _bounds(now, window_seconds, until)
    begins, ends = reaching.floor(begins.astimezone(UTC), reaching.HOUR), min(ends, now)
    statement = _HOURS_NAMED if group_by in NAMED else _HOURS
    given = {"since": begins, "before": ends} | ({"grouped_by": group_by} if group_by in NAMED else {})
    hours: int = (await connection.execute(statement, given)).scalar_one()
    return hours * 60


async def everything(connection: Connection) -> list[Sums]:
    """The sums over all that was ever counted, by task type and queue. They only rise."""
    known, _ = await kept(connection)
    rows = await _read(connection, "both", reaching.everything(known))
    return _of(rows, "both", 0.0)


def _bounds(now: datetime, window_seconds: float, until: datetime | None) -> tuple[datetime, datetime]:
    until = NEVER if until is None else until.astimezone(UTC)
    return min(until, now) - timedelta(seconds=window_seconds), until


async def _read(
    connection: Connection,
    group_by: GroupBy,
    found: Reach,
    step: timedelta | None = None,
    names: Sequence[str] = (),
    *,
    histograms: bool = True,
) -> list[dict[str, Any]]:
    parameters: dict[str, object] = {"window_since": found.begins, "window_before": found.ends}
    for _, name in _SPANS:
        span = getattr(found, name)
        parameters |= {f"{name}_since": span.since, f"{name}_before": span.before}
    if step is not None:
        parameters["step"] = step
        if group_by != "none":
            parameters["names"] = list(names)
    sql = statement(group_by, stepped=step is not None, histograms=histograms)
    rows = (await connection.execute(sql, parameters)).mappings()
    return [
        dict(row)
        | {name: float(row[name]) for name in COUNTERS}
        | {name: dict(zip(row[f"{name}_buckets"], row[f"{name}_counts"], strict=True)) for name in HISTOGRAMS}
        for row in rows
    ]


def _of(rows: list[dict[str, Any]], group_by: GroupBy, covered: float, *, stepped: bool = False) -> list[Sums]:
    chosen = stepped and group_by in ("task_type", "queue")
    return [_sums(row, covered, chosen=chosen) for row in _with_nameless(rows, group_by)]


def _with_nameless(rows: list[dict[str, Any]], group_by: GroupBy) -> list[dict[str, Any]]:
    """The rows of names, and for what has none the difference between everything and them."""
    if group_by not in NAMED:
        return rows
    whole = {row.get("step"): row for row in rows if not row["is_named"]}
    named = [row for row in rows if row["is_named"]]
    for row in named:
        rest = whole[row.get("step")]
        for name in COUNTERS:
            rest[name] -= row[name]
        for name in HISTOGRAMS:
            for bucket, n in row[name].items():
                rest[name][bucket] -= n
    for rest in whole.values():
        for name in HISTOGRAMS:
            rest[name] = {bucket: n for bucket, n in rest[name].items() if n}
    return [*named, *(rest for rest in whole.values() if _is_any(rest))]


def _is_any(row: dict[str, Any]) -> bool:
    return any(row[name] for name in COUNTERS if not name.endswith("_sum"))


def _sums(row: dict[str, Any], covered: float, *, chosen: bool = False) -> Sums:
    task_type, queue, name = (row.get(key) or None for key in ("task_type", "queue", "name"))
    return Sums(
        task_type=task_type,
        queue=queue,
        counts={counter: row[counter] for counter in COUNTERS},
        run=row["run"],
        wait=row["wait"],
        covered_seconds=covered,
        name=name,
        is_others=not (task_type or queue or name) and (row.get("is_named", False) or chosen),
        step=row.get("step"),
    )


def nothing_of(group_by: GroupBy, name: str | None, *, is_others: bool = False) -> Sums:
    """The sums of a group of which nothing was counted."""
    return Sums(
        name if group_by == "task_type" else None,
        name if group_by == "queue" else None,
        dict.fromkeys(COUNTERS, 0.0),
        {},
        {},
        0.0,
        name if group_by in NAMED else None,
        is_others,
    )
