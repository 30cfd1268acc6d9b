"""Folds deltas into the rows of their minute, hour and day, all in one transaction: they always agree.

A day has rows for so many callers, errors and pools each, the first that are counted: their names are chosen by
others, and whatever comes after these goes into one more row, which has no name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import Integer, Table, TextClause, bindparam, delete, select, text
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as upsert

from pointsman_service.store.arrays import array_columns
from pointsman_service.store.metrics.carrying import begin_folding
from pointsman_service.store.metrics.counters import sum_rows
from pointsman_service.store.metrics.reach import DAY, EVER, HOUR, MINUTE, NEVER, Kept, floor
from pointsman_service.store.models import (
    TaskMetrics,
    TaskMetricsByDay,
    TaskMetricsByHour,
    TaskMetricsByMinute,
    TaskMetricsDay,
    TaskMetricsDelta,
    TaskMetricsHour,
)
from pointsman_service.store.store import Connection

NAMES_A_DAY = 100
_LONGEST_NAME = 200
_MOMENTS = ("minute", "hour", "day")
_NAMED = ("caller", "error", "pool")
_Rows = Sequence[Mapping[str, Any]]
_Key = tuple[Any, ...]


class Folded(NamedTuple):
    """What a fold did."""

    deltas: int
    kept: Kept
    """How far back each resolution goes now."""


class Rollup:
    """One table of sums: which rows it has for some keys, and how they are replaced."""

    def __init__(self, model: type[Any]) -> None:
        table = cast(Table, model.__table__)
        self.name = table.name
        self.key = tuple(column.name for column in table.primary_key)
        self.find = _find(table, self.key)
        self.replace = _replace(table, self.key)

    async def add(self, connection: Connection, sums: Mapping[_Key, Mapping[str, Any]]) -> None:
        """Add these sums to the rows of their keys."""
        if not sums:
            return
        keys = sorted(sums)
        named = dict(zip(self.key, map(list, zip(*keys, strict=True)), strict=True))
        found = (await connection.execute(self.find, named)).mappings()
        there = {tuple(row[name] for name in self.key): dict(row) for row in found}
        rows = [
            sum_rows([sums[key], there[key]] if key in there else [sums[key]]) | dict(zip(self.key, key, strict=True))
            for key in keys
        ]
        await connection.execute(self.replace, rows)


def _find(table: Table, key: Sequence[str]) -> TextClause:
    kinds = {name: "timestamptz" if name in _MOMENTS else "text" for name in key}
    return text(f"SELECT * FROM {table.name} WHERE ({', '.join(key)}) IN (SELECT * FROM {array_columns(kinds)})")


def _replace(table: Table, key: Sequence[str]) -> Insert:
    made = upsert(table)
    others = {column.name: made.excluded[column.name] for column in table.c if column.name not in key}
    return made.on_conflict_do_update(index_elements=list(key), set_=others)


KINDS = tuple(map(Rollup, (TaskMetrics, TaskMetricsHour, TaskMetricsDay)))
BY_NAME = tuple(map(Rollup, (TaskMetricsByMinute, TaskMetricsByHour, TaskMetricsByDay)))
_UNITS = (MINUTE, HOUR, DAY)

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
_NAMES_OF_DAYS = text("""
    SELECT grouped_by, day, name FROM task_metrics_by_day
    WHERE grouped_by = ANY(ARRAY['caller', 'error', 'pool']) AND day = ANY(CAST(:days AS timestamptz[]))
""")


async def fold(connection: Connection, most: int, names_a_day: int = NAMES_A_DAY) -> Folded:
    """Move up to ``most`` deltas into the rollup. One caller at a time, in a transaction."""
    kept = await begin_folding(connection)
    deltas = [dict(row) for row in (await connection.execute(_TAKE_OLDEST, {"most": most})).mappings()]
    if not deltas:
        return Folded(0, kept)
    for row in deltas:
        row["minute"] = row["minute"].astimezone(UTC)
    past = await _add(connection, KINDS, _by_kind(deltas), kept)
    await KINDS[-1].add(connection, past)
    # Names were never counted before: there is nothing to carry, and nothing of the past.
    await _add(connection, BY_NAME, await _by_name(connection, deltas, names_a_day), replace(kept, carried_to=EVER))
    return Folded(len(deltas), kept)


async def add_to_the_past(connection: Connection, days: _Rows) -> None:
    """Add rows of days that are kept no more to the one that stands for them; in the transaction that removes them."""
    groups: dict[_Key, list[Mapping[str, Any]]] = {}
    for row in days:
        groups.setdefault((EVER, row["task_type"], row["queue"]), []).append(row)
    await KINDS[-1].add(connection, {key: sum_rows(rows) for key, rows in groups.items()})


def _by_kind(deltas: _Rows) -> dict[_Key, dict[str, Any]]:
    groups: dict[_Key, list[Mapping[str, Any]]] = {}
    for row in deltas:
        groups.setdefault((row["minute"], row["task_type"], row["queue"]), []).append(row)
    return {key: sum_rows(rows) for key, rows in groups.items()}


async def _by_name(connection: Connection, deltas: _Rows, names_a_day: int) -> dict[_Key, dict[str, Any]]:
    days = {floor(row["minute"], DAY) for row in deltas}
    known: dict[tuple[str, datetime], set[str]] = {}
    for found in await connection.execute(_NAMES_OF_DAYS, {"days": sorted(days)}):
        known.setdefault((found.grouped_by, found.day), set()).add(found.name)
    groups: dict[_Key, list[Mapping[str, Any]]] = {}
    for row in deltas:
        for grouped_by in _NAMED:
            if row[grouped_by] is None:
                continue
            names = known.setdefault((grouped_by, floor(row["minute"], DAY)), set())
            name = row[grouped_by][:_LONGEST_NAME]
            if name not in names:
                if len(names - {""}) >= names_a_day:
                    name = ""
                names.add(name)
            groups.setdefault((grouped_by, row["minute"], name), []).append(row)
    return {key: sum_rows(rows) for key, rows in groups.items()}


async def _add(
    connection: Connection, tables: Sequence[Rollup], minutes: Mapping[_Key, Mapping[str, Any]], kept: Kept
) -> dict[_Key, dict[str, Any]]:
    """Add sums of minutes to each table that has their time; of times that even days are kept of no more, what is to be
    added to the past.
    """
    since = {MINUTE: kept.minutes_since, HOUR: kept.hours_since, DAY: kept.days_since}
    carried_to = kept.carried_to or NEVER
    at = next(place for place, name in enumerate(tables[0].key) if name == "minute")
    sums = minutes
    for table, unit in zip(tables, _UNITS, strict=True):
        if unit == HOUR:
            # The others are carried with their minutes.
            sums = {k: row for k, row in sums.items() if k[at] >= carried_to or k[at] < kept.minutes_since}
        if unit > MINUTE:
            sums = _grouped({key: (*key[:at], floor(key[at], unit), *key[at + 1 :]) for key in sums}, sums)
        await table.add(connection, {key: row for key, row in sums.items() if key[at] >= since[unit]})
    old = {key: (*key[:at], EVER, *key[at + 1 :]) for key in sums if key[at] < kept.days_since}
    return _grouped(old, sums)


def _grouped(becomes: Mapping[_Key, _Key], rows: Mapping[_Key, Mapping[str, Any]]) -> dict[_Key, dict[str, Any]]:
    """The sums of the rows of these keys, by what each key becomes."""
    groups: dict[_Key, list[Mapping[str, Any]]] = {}
    for key, group in becomes.items():
        groups.setdefault(group, []).append(rows[key])
    return {group: sum_rows(found) for group, found in groups.items()}
