"""What is ahead of a task: unstarted and running ones by queue, priority and type. Bounded, however long the line."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text

from pointsman_service.store.store import Connection

MOST_LOOKED_AT = 500
"""Of the waiting, and of the sent tasks of one queue and priority: the oldest."""

# The oldest of those that were sent are those that run.
_AHEAD = text("""
    SELECT q.queue, p.priority, f.place, f.task_type, f.worker, f.elapsed, count(*) AS tasks
    FROM unnest(CAST(:queues AS text[])) AS q (queue) CROSS JOIN generate_series(0, 10) AS p (priority)
    CROSS JOIN LATERAL (
        (SELECT 'waiting' AS place, task_type, CAST(NULL AS text) AS worker, CAST(NULL AS float8) AS elapsed
            FROM task_live WHERE place = 'waiting' AND queue = q.queue AND priority = p.priority
            ORDER BY due_at, id LIMIT :most)
        UNION ALL
        (SELECT CASE state WHEN 'running' THEN 'running' ELSE 'sent' END, task_type,
            CASE state WHEN 'running' THEN worker END,
            CASE state WHEN 'running' THEN extract(epoch FROM now() - started_at)::float8 END
            FROM task_live WHERE place = 'sent' AND queue = q.queue AND priority = p.priority
            ORDER BY sent_at LIMIT :most)
    ) AS f
    GROUP BY q.queue, p.priority, f.place, f.task_type, f.worker, f.elapsed
""")

# Who has ended already is in the other table; who is due later is no arrival yet.
_BORN = """
    SELECT id, queue, priority, task_type, submitted_at FROM {table}
    WHERE id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) AND scheduled_at IS NULL AND delay_seconds IS NULL
"""
BORN = _BORN.format(table="task_live") + " UNION ALL " + _BORN.format(table="task")
"""SQL: tasks that were due at once, of the ids from ``:low`` to before ``:high``."""
_BIRTHS = text(f"""
    SELECT queue, priority, task_type, submitted_at, count(*) AS tasks FROM ({BORN}) AS born
    GROUP BY queue, priority, task_type, submitted_at ORDER BY submitted_at
""")
_NOW = text("SELECT now()")


class Ahead(NamedTuple):
    """Tasks of one queue, priority and type that are at the same place."""

    queue: str
    priority: int
    place: str
    """``waiting``, ``sent`` (on the broker or on the way from it) or ``running``."""
    task_type: str
    worker: str | None
    """Of one that runs, as the next."""
    elapsed_seconds: float | None
    tasks: int


class Births(NamedTuple):
    """Tasks of one queue, priority and type that one commit stored, due at once."""

    queue: str
    priority: int
    task_type: str
    submitted_at: datetime
    tasks: int


async def ahead(connection: Connection, queues: Sequence[str]) -> list[Ahead]:
    """Unstarted and running tasks of these queues; at most ``MOST_LOOKED_AT`` of each queue, priority and place."""
    rows = await connection.execute(_AHEAD, {"queues": list(queues), "most": MOST_LOOKED_AT})
    return [Ahead(*row) for row in rows]


async def births(connection: Connection, low: object, high: object) -> list[Births]:
    """What was born with ids from ``low`` to before ``high``, the oldest first."""
    return [Births(*row) for row in await connection.execute(_BIRTHS, {"low": low, "high": high})]


async def now(connection: Connection) -> datetime:
    """The database clock."""
    found: datetime = (await connection.execute(_NOW)).scalar_one()
    return found
