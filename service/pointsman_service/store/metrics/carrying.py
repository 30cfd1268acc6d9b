"""Hours and days of what was counted before they were kept: made of the minutes, the newest day first, a day at a time.

Until a day is carried it is read by minutes, so no figure depends on how far this has come. The release before folds
minutes alone: a trigger (``task_metrics_leave``) keeps it from that while this one folds. Another one,
``task_metrics_carry``, notes whoever wrote minutes and no hours; then the days of which there are minutes are carried
again.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, text

from pointsman_service.store.metrics.counters import COUNTERS
from pointsman_service.store.metrics.reach import DAY, EVER, HOUR, Kept, floor
from pointsman_service.store.metrics.summing import added_up
from pointsman_service.store.store import Connection

_DAYS_AT_ONCE = timedelta(days=31)
_ONE_ROW_BEFORE = timedelta(days=32)
"""Of older days the release before made one row each, under their first minute."""

# The others make the trigger let us take deltas, and those of predictions too.
_LOCK = text("""
    SELECT pg_advisory_xact_lock(hashtext('pointsman rollup')), set_config('pointsman.folds', 'days', true),
        set_config('pointsman.counts', 'predictions', true)
""")
_MADE = text("INSERT INTO task_metrics_kept DEFAULT VALUES ON CONFLICT DO NOTHING")
_STATE = text("""
    SELECT minutes_since, hours_since, days_since, carried_to, began_at, clock_timestamp() AS now,
        coalesce(folded_at < clock_timestamp() - interval '10 seconds', true) AS is_stale
    FROM task_metrics_kept
""")
_FOLDS = text("""
    UPDATE task_metrics_kept SET folded_at = clock_timestamp(), began_at = coalesce(began_at, clock_timestamp())
""")
_OLDEST = text("SELECT min(minute) AS first, max(minute) AS last FROM task_metrics")
_BEGIN = text("""
    UPDATE task_metrics_kept SET minutes_since = :minutes_since, hours_since = :hours_since, carried_to = :carried_to
""")
_NEXT = text("SELECT max(minute) FROM task_metrics WHERE minute < :carried_to AND minute >= :minutes_since")
# Who wrote minutes meanwhile has noted that all is to be carried again; that stays.
_CARRIED = text("UPDATE task_metrics_kept SET carried_to = :day WHERE carried_to IS NOT NULL")
_BETWEEN = " AND ".join(("{at} >= CAST(:since AS timestamptz)", "{at} < CAST(:before AS timestamptz)"))
_COLUMNS = ", ".join((*COUNTERS, "run_buckets", "run_counts", "wait_buckets", "wait_counts"))
_DROP_HOURS = text(f"DELETE FROM task_metrics_hour WHERE {_BETWEEN.format(at='hour')}")
_DROP_DAYS = text(f"DELETE FROM task_metrics_day WHERE {_BETWEEN.format(at='day')}")


def _carry(into: str, unit: str, of: str, at: str) -> str:
    part = (
        f"SELECT date_trunc('{unit}', {at}, 'UTC') AS {unit}, task_type, queue, {_COLUMNS} FROM {of}"
        f" WHERE {_BETWEEN.format(at=at)}"
    )
    keys = (unit, "task_type", "queue")
    return f"INSERT INTO {into} ({', '.join(keys)}, {_COLUMNS}) " + added_up([part], keys)


_HOURS_OF_MINUTES = text(_carry("task_metrics_hour", "hour", "task_metrics", "minute"))
_DAYS_OF_HOURS = text(_carry("task_metrics_day", "day", "task_metrics_hour", "hour"))
_DAYS_OF_MINUTES = text(_carry("task_metrics_day", "day", "task_metrics", "minute"))


async def begin_folding(connection: Connection) -> Kept:
    """Keep every other folder out until the end of the transaction. How far back each resolution goes."""
    await connection.execute(_LOCK)
    row = (await connection.execute(_STATE)).one_or_none()
    if row is None:
        await connection.execute(_MADE)
        row = (await connection.execute(_STATE)).one()
    if row.is_stale:
        await connection.execute(_FOLDS)
    if row.carried_to is None:
        return await _begin(connection, row)
    return Kept(row.minutes_since, row.hours_since, row.days_since, row.carried_to)


async def carry_day(connection: Connection) -> datetime | None:
    """Make the hours and the day of the newest day that has only minutes. None when there is none. In a transaction.

    A day of a thousand task types in every minute takes ten seconds. Whoever counts meanwhile waits for nothing.
    """
    kept = await begin_folding(connection)
    if kept.is_carried:
        return None
    found = await connection.execute(_NEXT, {"carried_to": kept.carried_to, "minutes_since": kept.minutes_since})
    newest: datetime | None = found.scalar_one()
    if newest is None:
        await connection.execute(_CARRIED, {"day": EVER})
        return None
    day = floor(newest.astimezone(UTC), DAY)
    whole = {"since": day, "before": day + DAY}
    for statement in (_DROP_HOURS, _DROP_DAYS):
        await connection.execute(statement, whole)
    for hour in (day + number * HOUR for number in range(24)):
        await connection.execute(_HOURS_OF_MINUTES, {"since": hour, "before": hour + HOUR})
    await connection.execute(_DAYS_OF_HOURS, whole)
    await connection.execute(_CARRIED, {"day": day})
    return day


async def _begin(connection: Connection, row: Row[Any]) -> Kept:
    minutes_since, hours_since = row.minutes_since, row.hours_since
    range_ = (await connection.execute(_OLDEST)).one()
    unsure = floor(row.now.astimezone(UTC), DAY) - _ONE_ROW_BEFORE
    if range_.first is not None and range_.first < unsure:
        minutes_since = max(minutes_since, unsure)
    old_days = {"since": row.minutes_since, "before": minutes_since}
    if row.began_at is None:
        hours_since = max(hours_since, minutes_since)
        old_days["since"] = EVER
    await connection.execute(_DROP_DAYS, old_days)
    since = max(old_days["since"], floor((range_.first or EVER).astimezone(UTC), DAY))
    while since < minutes_since:
        before = min(since + _DAYS_AT_ONCE, minutes_since)
        await connection.execute(_DAYS_OF_MINUTES, {"since": since, "before": before})
        since = before
    # Where nothing was counted there is nothing to carry.
    last = None if range_.last is None else max(row.now, range_.last).astimezone(UTC)
    kept = Kept(minutes_since, hours_since, row.days_since, EVER if last is None else floor(last, DAY) + DAY)
    await connection.execute(
        _BEGIN, {"minutes_since": minutes_since, "hours_since": hours_since, "carried_to": kept.carried_to}
    )
    return kept
