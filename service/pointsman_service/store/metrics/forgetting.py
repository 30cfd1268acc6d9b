"""What leaves ``TaskMetrics`` by age: minutes first, then hours, then days. No sum over everything changes."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from pointsman_service.store.metrics.carrying import begin_folding
from pointsman_service.store.metrics.folding import add_to_the_past
from pointsman_service.store.metrics.reach import EVER
from pointsman_service.store.store import Connection

_FIRST_HOUR = timedelta(hours=1)
"""So long after hours were first kept minutes stay: the release before may still read, and knows nothing else."""


@dataclass(frozen=True, slots=True)
class KeepFor:
    """How many days each resolution is kept."""

    minutes: float
    hours: float
    days: float


# What is told no more goes a day later: nobody reads it then who looked before.
_DELETE = """
    DELETE FROM {table} WHERE ({key}) IN (
        SELECT {key} FROM {table} WHERE {at} < CAST(:before AS timestamptz) - interval '1 day'{more}
        ORDER BY {at} LIMIT :most)
"""
_BY_KIND = "task_type, queue"


def _delete(table: str, at: str, key: str, more: str = "") -> str:
    return _DELETE.format(table=table, at=at, key=f"{at}, {key}", more=more)


_MINUTES = (
    text(_delete("task_metrics", "minute", _BY_KIND)),
    text(_delete("task_metrics_by_minute", "minute", "grouped_by, name")),
)
_HOURS = (
    text(_delete("task_metrics_hour", "hour", _BY_KIND)),
    text(_delete("task_metrics_by_hour", "hour", "grouped_by, name")),
)
_NAMED_DAYS = text(_delete("task_metrics_by_day", "day", "grouped_by, name"))
_DAYS = text(_delete("task_metrics_day", "day", _BY_KIND, " AND day > CAST(:ever AS timestamptz)") + " RETURNING *")
_AGE = text("SELECT began_at < now() - CAST(:first AS interval) FROM task_metrics_kept")
_ADVANCE = text("""
    UPDATE task_metrics_kept k SET minutes_since = n.minutes, hours_since = n.hours, days_since = n.days
    FROM (
        SELECT greatest(minutes_since, date_trunc('day', now() - CAST(:minutes AS interval), 'UTC')) AS minutes,
            greatest(hours_since, date_trunc('day', now() - CAST(:hours AS interval), 'UTC')) AS hours,
            greatest(days_since, date_trunc('day', now() - CAST(:days AS interval), 'UTC')) AS days
        FROM task_metrics_kept
    ) AS n
    WHERE (k.minutes_since, k.hours_since, k.days_since) <> (n.minutes, n.hours, n.days)
""")


async def forget(connection: Connection, keep_for: KeepFor, most: int) -> int:
    """Remove up to ``most`` rows of each kind that are told no more, and tell no more what is now too old. One caller
    at a time, in a transaction. Returns how many rows of the kind of which most were removed.
    """
    kept = await begin_folding(connection)
    if not kept.is_carried or not (await connection.execute(_AGE, {"first": _FIRST_HOUR})).scalar_one():
        return 0
    removed = 0
    for statements, before in (
        (_MINUTES, kept.minutes_since),
        (_HOURS, kept.hours_since),
        ((_NAMED_DAYS,), kept.days_since),
    ):
        for statement in statements:
            removed = max(removed, (await connection.execute(statement, {"before": before, "most": most})).rowcount)
    found = await connection.execute(_DAYS, {"before": kept.days_since, "most": most, "ever": EVER})
    days = [dict(row) for row in found.mappings()]
    await add_to_the_past(connection, days)
    await connection.execute(
        _ADVANCE,
        {
            "minutes": timedelta(days=keep_for.minutes),
            "hours": timedelta(days=keep_for.hours),
            "days": timedelta(days=keep_for.days),
        },
    )
    return max(removed, len(days))
