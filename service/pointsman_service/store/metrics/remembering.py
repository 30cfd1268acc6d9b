"""Sums over a window, whose parts are remembered as long as no row of them has changed.

What is asked every few seconds is mostly of the past. Its rows still change now and then, by a late event or another
process, so each read looks at their versions, which is a small part of adding them up, and in the same statement
adds up what is new or differs: a sum is that of the rows of one moment, whatever is remembered.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import TextClause, text

from pointsman_service.store.metrics import reach as reaching
from pointsman_service.store.metrics import summing
from pointsman_service.store.metrics.counters import COUNTERS
from pointsman_service.store.metrics.reach import Reach, floor
from pointsman_service.store.metrics.summing import HISTOGRAMS, NAMED, SPANS, UNITS, GroupBy, Windowed
from pointsman_service.store.store import Connection

_SETTLED = timedelta(minutes=2)
"""By then almost everything that happened in a minute is counted."""
_MOST_NUMBERS = 300_000
"""Counters and buckets that are remembered at most: some 30 MB."""
_DELTAS = "deltas"
_Rows = list[dict[str, Any]]


class _Part(NamedTuple):
    """Rows of one span of a window, of before the present minute, hour or day, or from then on."""

    name: str
    unit: str
    since: datetime
    before: datetime

    @property
    def key(self) -> tuple[object, ...]:
        """What its sums are remembered by: another window may have them under another name."""
        return self[1:]


@dataclass(slots=True)
class _Known:
    """What rows came to."""

    versions: str
    rows: _Rows
    numbers: int


class Remembered:
    """The sums that one process remembers. What is asked least is forgotten first."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[object, ...], _Known] = OrderedDict()
        self._numbers = 0

    async def over_window(
        self, connection: Connection, group_by: GroupBy, window_seconds: float, until: datetime | None = None
    ) -> Windowed:
        """As ``summing.over_window``, with histograms."""
        kept, now = await summing.kept(connection)
        begins, ends = summing.bounds(now, window_seconds, until)
        found = reaching.reach(begins, ends, kept)
        rows = await self._read(connection, group_by, found, now)
        return Windowed(summing.sums_of(rows, group_by, summing.covered(found, now)), found, now)

    async def _read(self, connection: Connection, group_by: GroupBy, found: Reach, now: datetime) -> _Rows:
        parts = _cut(found, now)
        parameters: dict[str, object] = {"window_since": found.begins, "window_before": found.ends}
        # Others ask meanwhile, and forget: what the statement need not add up is held here.
        held = {one.name: self._known.get((group_by, one.key)) for one in parts}
        for one in parts:
            known = held[one.name]
            parameters |= {f"{one.name}_since": one.since, f"{one.name}_before": one.before}
            parameters[f"{one.name}_known"] = None if known is None else known.versions
        sql = statement(group_by, tuple((one.name, one.unit) for one in parts))
        answer = (await connection.execute(sql, parameters)).mappings().all()
        versions: dict[str, str] = dict(zip(answer[0]["parts"], answer[0]["versions"], strict=True))
        added: dict[str, _Rows] = {}
        for row in answer:
            if row["part"] is not None:
                added.setdefault(row["part"], []).append(summing.row_of(row))
        keys = summing.keys_of(group_by)
        whole_key = (group_by, *(one.key for one in parts))
        whole_versions = ",".join(versions[one.name] for one in parts)
        whole = self._known.get(whole_key)
        if whole is None or whole.versions != whole_versions:
            rows = []
            for one in parts:
                known = held[one.name]
                if known is None or known.versions != versions[one.name]:
                    known = self._remember((group_by, one.key), versions[one.name], added.get(one.name, []))
                rows.append(known.rows)
            whole = self._remember(whole_key, whole_versions, _together(rows, keys))
        self._used(whole_key, *((group_by, one.key) for one in parts))
        return _together([whole.rows, added.get(_DELTAS, [])], keys)

    def _used(self, *keys: tuple[object, ...]) -> None:
        for key in keys:
            if key in self._known:
                self._known.move_to_end(key)

    def _remember(self, key: tuple[object, ...], versions: str, rows: _Rows) -> _Known:
        numbers = sum(len(COUNTERS) + sum(len(row[name]) for name in HISTOGRAMS) for row in rows) + 1
        known = _Known(versions, rows, numbers)
        before = self._known.pop(key, None)
        self._numbers -= 0 if before is None else before.numbers
        if numbers <= _MOST_NUMBERS:
            self._known[key] = known
            self._numbers += numbers
        while self._numbers > _MOST_NUMBERS:
            self._numbers -= self._known.popitem(last=False)[1].numbers
        return known


def _cut(found: Reach, now: datetime) -> list[_Part]:
    """The spans of a window, each cut where the present begins: that changes all the time. Without those that are
    empty.
    """
    parts = []
    settled = now.astimezone(UTC) - _SETTLED
    for unit, name in SPANS:
        since, before = getattr(found, name)
        middle = min(max(floor(settled, UNITS[unit]), since), before)
        if since < middle:
            parts.append(_Part(name, unit, since, middle))
        if middle < before:
            parts.append(_Part(f"{name}_now", unit, middle, before))
    return parts


@cache
def statement(group_by: GroupBy, parts: Sequence[tuple[str, str]]) -> TextClause:
    """The sums by part and group, of those parts whose versions are not the known ones, and of the deltas. Each row
    says what versions each part has; when nothing is to be said there is one row, of no part.

    ``parts``: the name of each, and of what rows it is.
    """
    rows = summing.deltas_between(group_by, "window_since", "window_before", {"part": f"'{_DELTAS}'"})
    looks = []
    for name, unit in parts:
        bounds = (f"{name}_since", f"{name}_before")
        differs = f" AND (SELECT versions FROM seen WHERE part = '{name}') IS DISTINCT FROM CAST(:{name}_known AS text)"
        rows += summing.rows_between(group_by, unit, *bounds, {"part": f"'{name}'"}, differs)
        looks.append(_versions(group_by, name, unit, bounds))
    seen = " UNION ALL ".join(looks) or "SELECT '' AS part, '' AS versions WHERE false"
    return text(f"""WITH seen AS MATERIALIZED ({seen})
        SELECT ARRAY(SELECT part FROM seen ORDER BY part) AS parts,
            ARRAY(SELECT versions FROM seen ORDER BY part) AS versions, summed.*
        FROM (SELECT) AS always LEFT JOIN ({summing.added_up(rows, ("part", *summing.keys_of(group_by)))}) AS summed
            ON true""")


def _versions(group_by: GroupBy, name: str, unit: str, bounds: tuple[str, str]) -> str:
    """SQL: a word for the rows of a part and the transactions that wrote them: whoever writes one is another."""
    tables = [(summing.TABLES[unit], "")]
    if group_by in NAMED:
        tables.append((f"task_metrics_by_{unit}", f" AND grouped_by = '{group_by}'"))
    written = " UNION ALL ".join(
        f"SELECT hashtextextended(CAST(xmin AS text), 0) AS writer FROM {table}"
        f" WHERE {unit} >= CAST(:{bounds[0]} AS timestamptz) AND {unit} < CAST(:{bounds[1]} AS timestamptz){more}"
        for table, more in tables
    )
    return f"SELECT '{name}' AS part, count(*) || ' ' || coalesce(sum(writer), 0) AS versions FROM ({written}) AS w"


def _together(parts: Iterable[_Rows], keys: Sequence[str]) -> _Rows:
    """The sums of all rows of each key. No row of the parts is in it."""
    groups: dict[tuple[object, ...], dict[str, Any]] = {}
    for row in (row for part in parts for row in part):
        key = tuple(row[name] for name in keys)
        whole = groups.get(key)
        if whole is None:
            groups[key] = row | {name: dict(row[name]) for name in HISTOGRAMS}
            continue
        for name in COUNTERS:
            whole[name] += row[name]
        for name in HISTOGRAMS:
            counts = whole[name]
            for bucket, n in row[name].items():
                counts[bucket] = counts.get(bucket, 0) + n
    return [groups[key] for key in sorted(groups, key=lambda key: tuple(map(str, key)))]
