"""Finished tasks leave by age: whole days at once, and what hangs on them after that."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from sqlalchemy import TextClause, text

from pointsman_service.store.buried import counted
from pointsman_service.store.columns import FINISHED
from pointsman_service.store.store import Connection
from pointsman_service.store.upkeep.partitions import (
    PARTITION_PREFIX,
    is_there,
    lock_partitions,
    lowest_id,
    partition_name,
)

_HOURS = 24
_MOST_SURVIVORS = 10_000
_LOCK_MILLISECONDS = 200
"""Whoever writes or reads finished tasks waits behind us for so long at most."""

_WAIT_NO_LONGER = text(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}")
_CUTOFF = text("SELECT now() - CAST(:days AS float8) * interval '1 day'")
_PARTITIONS = text("""
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'task'::regclass AND starts_with(c.relname, :prefix) ORDER BY c.relname
""")
_GONE = "RETURNING d.task_id, d.task_type, d.error_type, d.queue, d.failed_at"
_DEFAULT_ROWS = text(f"""
    WITH gone AS (
        DELETE FROM task_default WHERE id IN (SELECT id FROM task_default WHERE finished_at < :cutoff LIMIT :most)
        RETURNING id
    ), unburied AS (
        DELETE FROM dead_letter d USING gone g WHERE d.task_id = g.id {_GONE}
    ), counted AS ({counted("unburied", taken=True)})
    SELECT id FROM gone
""")
# One that is locked is just being run again: who does takes it away.
_UNBURY = text(f"""
    WITH old AS (
        SELECT task_id FROM dead_letter WHERE task_id >= CAST(:low AS uuid) AND task_id < CAST(:high AS uuid)
            AND task_id <> ALL(CAST(:survivors AS uuid[])) FOR UPDATE SKIP LOCKED
    ), unburied AS (
        DELETE FROM dead_letter d USING old o WHERE d.task_id = o.task_id {_GONE}
    )
    {counted("unburied", taken=True)}
""")
_NOTHING_LEFT = """
    DELETE FROM {table} WHERE (task_type, error_type, queue, {at}) IN (
        SELECT task_type, error_type, queue, {at} FROM {table} WHERE tasks = 0 AND {at} < :cutoff
        LIMIT :most FOR UPDATE SKIP LOCKED)
"""
_HOURS_OF_LETTERS = text(_NOTHING_LEFT.format(table="dead_letter_count", at="hour"))
_DAYS_OF_LETTERS = text(_NOTHING_LEFT.format(table="dead_letter_day", at="day"))
# The bound beside the join keeps the planner from opening the days that are kept.
_ATTEMPTS = text("""
    DELETE FROM task_attempt WHERE (task_id, attempt) IN (
        SELECT a.task_id, a.attempt FROM task_attempt a WHERE a.task_id < CAST(:low AS uuid)
            AND NOT EXISTS (SELECT FROM task t WHERE t.id = a.task_id AND t.id < CAST(:low AS uuid))
            AND NOT EXISTS (SELECT FROM task_live t WHERE t.id = a.task_id)
        LIMIT :most)
""")
# Who was run again once is not run again, as long as it is there.
_REPLAYED = text("""
    DELETE FROM replayed_task WHERE task_id IN (
        SELECT r.task_id FROM replayed_task r WHERE r.task_id < CAST(:low AS uuid)
            AND NOT EXISTS (SELECT FROM task t WHERE t.id = r.task_id AND t.id < CAST(:low AS uuid))
        LIMIT :most)
""")
_CANCELLED = text("""
    DELETE FROM cancelled_task WHERE (act_id, task_id) IN (
        SELECT act_id, task_id FROM cancelled_task WHERE act_id < CAST(:low AS uuid)
        ORDER BY act_id, task_id LIMIT :most)
""")
_REPLAYS = text("""
    DELETE FROM replay WHERE id IN (
        SELECT id FROM replay r WHERE requested_at < :cutoff
            AND NOT EXISTS (SELECT FROM replayed_task t WHERE t.replay_id = r.id)
            AND NOT EXISTS (SELECT FROM cancelled_task t WHERE t.act_id = r.id)
        LIMIT :most)
""")
_TRANSITIONS = text("""
    DELETE FROM breaker_transition WHERE at < :cutoff
        AND id IN (SELECT id FROM breaker_transition ORDER BY id LIMIT :most)
""")
# What is still to be sent of an alert that ended stays, as its message is its own.
_DELIVERIES = text("""
    DELETE FROM alert_delivery WHERE id IN (
        SELECT id FROM alert_delivery WHERE id < CAST(:low AS uuid) AND status <> 'pending' ORDER BY id LIMIT :most)
""")
_ALERTS = text("""
    DELETE FROM alert WHERE id IN (
        SELECT id FROM alert WHERE resolved_at < :cutoff ORDER BY resolved_at LIMIT :most)
""")
_SILENCES = text("""
    DELETE FROM alert_silence WHERE id IN (SELECT id FROM alert_silence WHERE until < :cutoff LIMIT :most)
""")
# Whose newest failure is older than what is kept: its tasks are gone by then.
_ERROR_GROUPS = text("""
    DELETE FROM error_group WHERE id IN (
        SELECT id FROM error_group g WHERE last_seen_at < :cutoff
            AND NOT EXISTS (SELECT FROM error_delta d WHERE d.error_group = g.id)
        LIMIT :most FOR UPDATE SKIP LOCKED)
""")
_ERROR_CHANGES = text("""
    DELETE FROM error_group_change WHERE id IN (
        SELECT id FROM error_group_change c WHERE at < :cutoff
            AND NOT EXISTS (SELECT FROM error_group g WHERE g.id = c.error_group)
        LIMIT :most)
""")
# Longer than any window that is counted in such steps.
_ERROR_COUNTS = text("""
    DELETE FROM error_count WHERE (error_group, step_seconds, since, queue) IN (
        SELECT error_group, step_seconds, since, queue FROM error_count
        WHERE (step_seconds = 60 AND since < now() - interval '3 hours')
            OR (step_seconds = 3600 AND since < now() - interval '5 days')
            OR (step_seconds = 86400 AND since < least(:cutoff, now() - interval '33 days'))
        LIMIT :most FOR UPDATE SKIP LOCKED)
""")
# How good predictions are is counted; each of them is looked at for days at most.
_PREDICTIONS = text("""
    DELETE FROM prediction WHERE task_id IN (
        SELECT task_id FROM prediction WHERE submitted_at < now() - interval '7 days' ORDER BY submitted_at LIMIT :most)
""")
_PREDICTION_METRICS = text("""
    DELETE FROM prediction_metrics WHERE (queue, span_seconds, at) IN (
        SELECT queue, span_seconds, at FROM prediction_metrics
        WHERE at < now() - CASE span_seconds WHEN 60 THEN interval '2 days' ELSE interval '400 days' END LIMIT :most)
""")
# They come in as their ids rise.
_RUN_LOGS = text("""
    DELETE FROM run_log WHERE written_at < now() - CAST(:days AS float8) * interval '1 day'
        AND id IN (SELECT id FROM run_log ORDER BY id LIMIT :most)
""")
_NATIVE = text("""
    DELETE FROM native_run WHERE id IN (
        SELECT id FROM native_run WHERE finished_at < :cutoff ORDER BY finished_at LIMIT :most)
""")


@dataclass(frozen=True, slots=True)
class Dropped:
    """A day that is gone."""

    name: str
    kept: int
    """Its tasks that ended later than the cutoff; they went on into the DEFAULT partition."""


class Dropping(NamedTuple):
    """What drops a day but for its survivors, in order."""

    lock: TextClause
    ended_later: TextClause
    detach: TextClause
    keep: TextClause
    drop: TextClause


async def cutoff(connection: Connection, days: float) -> datetime:
    """The moment so many days ago, on the database clock."""
    found: datetime = (await connection.execute(_CUTOFF, {"days": days})).scalar_one()
    return found


async def old_days(connection: Connection, before: datetime) -> list[date]:
    """The days of submission that have a partition and were over ``before``, the oldest first."""
    names = (await connection.execute(_PARTITIONS, {"prefix": PARTITION_PREFIX})).scalars()
    days = [datetime.strptime(name.removeprefix(PARTITION_PREFIX), "%Y%m%d").replace(tzinfo=UTC) for name in names]
    return [day.date() for day in days if day + timedelta(days=1) <= before]


async def drop_day(connection: Connection, day: date, before: datetime) -> Dropped | None:
    """Drop the partition of a day but for the tasks that ended at ``before`` or later; in a transaction.

    None when those are too many: their day comes. Raises ``LockNotGot`` when somebody reads or writes there for long.
    """
    name = partition_name(day)
    await lock_partitions(connection)
    if not await is_there(connection, name):
        return Dropped(name, 0)
    dropping = dropping_of(name)
    await connection.execute(_WAIT_NO_LONGER)
    # A late outcome of this day waits; nobody else does.
    await connection.execute(dropping.lock)
    survivors = await _survivors(connection, dropping.ended_later, day, before)
    if len(survivors) > _MOST_SURVIVORS:
        return None
    await _unbury(connection, day, survivors)
    await connection.execute(dropping.detach)
    if survivors:
        await connection.execute(dropping.keep, {"ids": survivors})
    await connection.execute(dropping.drop)
    return Dropped(name, len(survivors))


def dropping_of(name: str) -> Dropping:
    """The statements for one partition. Its name is ours: DDL takes no parameters."""
    columns = ", ".join(FINISHED)
    return Dropping(
        lock=text(f"LOCK TABLE {name} IN SHARE MODE"),
        ended_later=text(f"""
            SELECT id FROM {name} WHERE id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) AND finished_at >= :before
            LIMIT :most
        """),
        detach=text(f"ALTER TABLE task DETACH PARTITION {name}"),
        keep=text(f"INSERT INTO task ({columns}) SELECT {columns} FROM {name} WHERE id = ANY(CAST(:ids AS uuid[]))"),
        drop=text(f"DROP TABLE {name}"),
    )


async def _survivors(connection: Connection, ended_later: TextClause, day: date, before: datetime) -> list[object]:
    """The ids of tasks that outlive a day, an hour at a time: each statement is bounded, however many a day has."""
    start = datetime.combine(day, time.min, UTC)
    found: list[object] = []
    for hour in range(_HOURS):
        low, high = (lowest_id(start + timedelta(hours=at)) for at in (hour, hour + 1))
        parameters = {"low": low, "high": high, "before": before, "most": _MOST_SURVIVORS + 1}
        found += (await connection.execute(ended_later, parameters)).scalars()
        if len(found) > _MOST_SURVIVORS:
            break
    return found


async def _unbury(connection: Connection, day: date, survivors: list[object]) -> None:
    """Take away the dead letters of a day that is dropped, an hour at a time."""
    start = datetime.combine(day, time.min, UTC)
    for hour in range(_HOURS):
        low, high = (lowest_id(start + timedelta(hours=at)) for at in (hour, hour + 1))
        await connection.execute(_UNBURY, {"low": low, "high": high, "survivors": survivors})


async def delete_left_over(connection: Connection, before: datetime, most: int) -> int:
    """Delete up to ``most`` of each: tasks of the DEFAULT partition, attempts and replays of tasks that are gone, acts
    on many tasks, error groups and their counts, plain runs, transitions of circuit breakers, alerts with their
    deliveries and silences, predictions.

    Returns the largest of the numbers.
    """
    by_age = {"cutoff": before, "most": most}
    by_id = {"low": lowest_id(before), "most": most}
    deleted = [
        (await connection.execute(statement, parameters)).rowcount
        for statement, parameters in (
            (_DEFAULT_ROWS, by_age),
            (_HOURS_OF_LETTERS, by_age),
            (_DAYS_OF_LETTERS, by_age),
            (_ERROR_GROUPS, by_age),
            (_ERROR_CHANGES, by_age),
            (_ERROR_COUNTS, by_age),
            (_ATTEMPTS, by_id),
            (_REPLAYED, by_id),
            (_CANCELLED, by_id),
            (_REPLAYS, by_age),
            (_NATIVE, by_age),
            (_TRANSITIONS, by_age),
            (_DELIVERIES, by_id),
            (_ALERTS, by_age),
            (_SILENCES, by_age),
            (_PREDICTIONS, {"most": most}),
            (_PREDICTION_METRICS, {"most": most}),
        )
    ]
    return max(deleted)


async def delete_run_logs(connection: Connection, days: float, most: int) -> int:
    """Delete up to ``most`` rows of what runs wrote so many days ago; how many that were."""
    return (await connection.execute(_RUN_LOGS, {"days": days, "most": most})).rowcount
