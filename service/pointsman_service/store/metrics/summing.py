"""Sums of ``TaskMetrics``: over a window, over each step of one, or over everything.

However long the window is, a statement reads the same few spans of minutes, hours and days (``reach``), and what was
counted since the last fold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal

from sqlalchemy import RowMapping, TextClause, text

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


SPANS = (
    ("day", "old_days"),
    ("minute", "first_minutes"),
    ("hour", "first_hours"),
    ("day", "days"),
    ("hour", "last_hours"),
    ("minute", "last_minutes"),
)
"""Of what rows the spans of a ``Reach`` are."""
UNITS = {"minute": reaching.MINUTE, "hour": reaching.HOUR, "day": reaching.DAY}
TABLES = {"minute": "task_metrics", "hour": "task_metrics_hour", "day": "task_metrics_day"}
_ARRAYS = ", ".join(f"{name}_{part}" for name in HISTOGRAMS for part in ("buckets", "counts"))
_KEYS: dict[GroupBy, tuple[str, ...]] = {
    "task_type": ("task_type",),
    "queue": ("queue",),
    "both": ("task_type", "queue"),
    "none": ("whole",),
    **dict.fromkeys(NAMED, ("name", "is_named")),
}
_NAMES = frozenset({*(key for keys in _KEYS.values() for key in keys), "step"})
_APART = 100_000
"""Between the numbers of the buckets of two histograms: one grouping adds up both."""
_EVER = "CAST('1970-01-01 00:00:00+00' AS timestamptz)"
_WHAT = f"{', '.join(COUNTERS)}, {_ARRAYS}"


def keys_of(group_by: GroupBy) -> tuple[str, ...]:
    """The columns that rows are grouped by."""
    return _KEYS[group_by]


def _part(keys: Mapping[str, str], table: str, at: str, since: str, before: str, more: str = "") -> str:
    named = ", ".join(f"{sql} AS {name}" for name, sql in keys.items())
    return (
        f"SELECT {named}, {_WHAT} FROM {table}"
        f" WHERE {at} >= CAST(:{since} AS timestamptz) AND {at} < CAST(:{before} AS timestamptz){more}"
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
    found = [
        part
        for unit, span in SPANS
        for part in rows_between(group_by, unit, f"{span}_since", f"{span}_before", stepped=stepped)
    ]
    return found + deltas_between(group_by, "window_since", "window_before", stepped=stepped)


def rows_between(
    group_by: GroupBy,
    unit: str,
    since: str,
    before: str,
    keys: Mapping[str, str] | None = None,
    more: str = "",
    *,
    stepped: bool = False,
) -> list[str]:
    """SQL: SELECTs of the rows of one resolution between two parameters, with these keys before those of the group."""
    of_all = {**(keys or {}), **_keys_of(group_by, unit, None, stepped=stepped)}
    found = [_part(of_all, TABLES[unit], unit, since, before, more)]
    if group_by in NAMED:
        # Beside everything: what has no name is the difference.
        named = {**(keys or {}), **_keys_of(group_by, unit, "name", stepped=stepped)}
        of = f" AND grouped_by = '{group_by}'"
        found.append(_part(named, f"task_metrics_by_{unit}", unit, since, before, of + more))
    return found


def deltas_between(
    group_by: GroupBy, since: str, before: str, keys: Mapping[str, str] | None = None, *, stepped: bool = False
) -> list[str]:
    """The same of the deltas."""
    of_all = {**(keys or {}), **_keys_of(group_by, "minute", None, stepped=stepped)}
    found = [_part(of_all, "task_metrics_delta", "minute", since, before)]
    if group_by in NAMED:
        named = {**(keys or {}), **_keys_of(group_by, "minute", group_by, stepped=stepped)}
        found.append(_part(named, "task_metrics_delta", "minute", since, before, f" AND {group_by} IS NOT NULL"))
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
    begins, ends = bounds(now, window_seconds, until)
    found = reaching.reach(begins, ends, known)
    rows = await _read(connection, group_by, found, histograms=histograms)
    return Windowed(sums_of(rows, group_by, covered(found, now)), found, now)


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
    begins, ends = bounds(now, window_seconds, until)
    found, step = reaching.stepped(begins, min(ends, now), step, known)
    rows = await _read(connection, group_by, found, step, names, histograms=histograms)
    return Windowed(sums_of(rows, group_by, step.total_seconds(), stepped=True), found, now, step)


async def minutes_within(
    connection: Connection, group_by: GroupBy, window_seconds: float, until: datetime | None
) -> int:
    """So many rows of minutes the window has at most, by its hours; none where hours are not kept."""
    _, now = await kept(connection)
    begins, ends = bounds(now, window_seconds, until)
    begins, ends = reaching.floor(begins.astimezone(UTC), reaching.HOUR), min(ends, now)
    statement = _HOURS_NAMED if group_by in NAMED else _HOURS
    given = {"since": begins, "before": ends} | ({"grouped_by": group_by} if group_by in NAMED else {})
    hours: int = (await connection.execute(statement, given)).scalar_one()
    return hours * 60


async def everything(connection: Connection) -> list[Sums]:
    """The sums over all that was ever counted, by task type and queue. They only rise."""
    known, _ = await kept(connection)
    rows = await _read(connection, "both", reaching.everything(known))
    return sums_of(rows, "both", 0.0)


def bounds(now: datetime, window_seconds: float, until: datetime | None) -> tuple[datetime, datetime]:
    """Where a window begins and ends."""
    until = NEVER if until is None else until.astimezone(UTC)
    return min(until, now) - timedelta(seconds=window_seconds), until


def covered(found: Reach, now: datetime) -> float:
    """The seconds of a window of which something is known."""
    return max(0.0, (min(found.ends, now) - found.begins).total_seconds())


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
    for _, name in SPANS:
        span = getattr(found, name)
        parameters |= {f"{name}_since": span.since, f"{name}_before": span.before}
    if step is not None:
        parameters["step"] = step
        if group_by != "none":
            parameters["names"] = list(names)
    sql = statement(group_by, stepped=step is not None, histograms=histograms)
    return [row_of(row) for row in (await connection.execute(sql, parameters)).mappings()]


def row_of(row: RowMapping) -> dict[str, Any]:
    """A row with its histograms as they are in ``Sums``."""
    return (
        {name: row[name] for name in row if name in _NAMES}
        | {name: float(row[name]) for name in COUNTERS}
        | {name: dict(zip(row[f"{name}_buckets"], row[f"{name}_counts"], strict=True)) for name in HISTOGRAMS}
    )


def sums_of(rows: list[dict[str, Any]], group_by: GroupBy, seconds: float, *, stepped: bool = False) -> list[Sums]:
    """The sums of rows, of a window or step of so many seconds. Changes the rows."""
    chosen = stepped and group_by in ("task_type", "queue")
    return [_sums(row, seconds, chosen=chosen) for row in _with_nameless(rows, group_by)]


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
