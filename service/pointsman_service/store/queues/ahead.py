"""What is ahead of a task: unstarted and running ones by queue, priority and type. Bounded, however long the line."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from pointsman_service.store.store import Connection

MOST_LOOKED_AT = 500
"""Of the waiting, and of the sent tasks of one queue and priority: the oldest."""

MOST_BORN = 5000
"""So many births are read at once, the oldest of them."""

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
    (SELECT id, queue, priority, task_type, submitted_at FROM {table}
    WHERE id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) AND scheduled_at IS NULL AND delay_seconds IS NULL
    ORDER BY id LIMIT :most)
"""
# The hash of a UUIDv7 is random: by it a sample is drawn that does not depend on who draws it.
_BIRTHS = text(f"""
    WITH born AS MATERIALIZED (
        {_BORN.format(table="task_live")} UNION ALL {_BORN.format(table="task")} ORDER BY id LIMIT :most
    ), found AS MATERIALIZED (
        SELECT queue, priority, task_type, submitted_at, count(*) AS tasks FROM born
        GROUP BY queue, priority, task_type, submitted_at
    ), drawn AS MATERIALIZED (
        SELECT d.* FROM (SELECT DISTINCT queue FROM found) AS q CROSS JOIN LATERAL (
            SELECT * FROM born b WHERE b.queue = q.queue ORDER BY uuid_hash_extended(b.id, 0) LIMIT :samples
        ) AS d
    )
    SELECT queue, priority, task_type, submitted_at, tasks, CAST(NULL AS uuid) AS id, 0 AS before FROM found
    UNION ALL
    SELECT d.queue, d.priority, d.task_type, d.submitted_at, 0, d.id, count(b.id) FROM drawn d LEFT JOIN born b
        ON (b.queue, b.priority, b.submitted_at) = (d.queue, d.priority, d.submitted_at) AND b.id < d.id
    GROUP BY d.queue, d.priority, d.task_type, d.submitted_at, d.id
    ORDER BY submitted_at
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


class Sample(NamedTuple):
    """One of these tasks."""

    id: UUID
    queue: str
    priority: int
    task_type: str
    submitted_at: datetime
    before: int
    """Tasks of its queue and priority that the same commit stored before it."""


async def ahead(connection: Connection, queues: Sequence[str]) -> list[Ahead]:
    """Unstarted and running tasks of these queues; at most ``MOST_LOOKED_AT`` of each queue, priority and place."""
    rows = await connection.execute(_AHEAD, {"queues": list(queues), "most": MOST_LOOKED_AT})
    return [Ahead(*row) for row in rows]


async def births(connection: Connection, low: UUID, high: UUID, samples: int = 0) -> tuple[list[Births], list[Sample]]:
    """What was born with ids from ``low`` to before ``high``, the oldest first, and a sample of it: so many of each
    queue at most. Where that are more than ``MOST_BORN`` tasks, the first of them.
    """
    parameters = {"low": low, "high": high, "samples": samples, "most": MOST_BORN}
    rows = (await connection.execute(_BIRTHS, parameters)).all()
    born = [Births(*row[:5]) for row in rows if row.id is None]
    drawn = [
        Sample(row.id, row.queue, row.priority, row.task_type, row.submitted_at, row.before)
        for row in rows
        if row.id is not None
    ]
    return born, drawn


async def now(connection: Connection) -> datetime:
    """The database clock."""
    found: datetime = (await connection.execute(_NOW)).scalar_one()
    return found
