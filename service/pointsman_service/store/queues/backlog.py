"""How many tasks are unfinished, by queue, state and reason: kept, not counted.

Only those that are sent are counted, and a queue's window bounds them. Of all others ``backlog`` has the numbers, and
``backlog_delta`` what was added since, each written in the transaction that moved the rows. Moves that come by the
hundred are counted by the statement that makes them: a sending and a waking (``store.queues.dispatching``), a retry
(``store.tasks.recording``), an end (``store.tasks.ending``). Births stand in the row of ``task_metrics_delta`` that
they write anyhow, for one more would be felt; when that row is folded a trigger makes a delta of the backlog of it.
Every other move is counted by the trigger ``count_in_backlog`` on ``task_live``, whoever makes it.

A release that knows nothing of this, and whoever moves rows by hand, leaves the numbers wrong: ``mend`` finds that.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from pointsman_contract.queues import MAX_PRIORITY
from pointsman_service.store.store import Connection

KEPT = """
        SELECT queue, state, held_reason, sum(tasks)::bigint AS tasks FROM (
            SELECT queue, state, held_reason, tasks FROM backlog
            UNION ALL SELECT queue, state, held_reason, tasks FROM backlog_delta
            UNION ALL SELECT queue, 'queued', '', born_waiting FROM task_metrics_delta WHERE born_waiting > 0
            UNION ALL SELECT queue, 'scheduled', '', born_asleep FROM task_metrics_delta WHERE born_asleep > 0
        ) AS numbers{where} GROUP BY queue, state, held_reason
"""
"""SQL: the numbers of what is not sent, by queue, state and reason; narrowed by ``where``."""
# The oldest of a queue by one probe of the index for each priority: the minimum of a whole queue would read all of it.
UNFINISHED = text(f"""
    WITH kept AS ({KEPT.format(where="")}), sent AS (
        SELECT queue, state, count(*) AS tasks, min(due_at) AS oldest FROM task_live WHERE place = 'sent'
        GROUP BY queue, state
    )
    SELECT k.queue, k.state, nullif(k.held_reason, '') AS held_reason, k.tasks, false AS sent,
        CASE WHEN k.state = 'queued' THEN (
            SELECT greatest(0, extract(epoch FROM now() - min(t.due_at)))::float8
            FROM generate_series(0, {MAX_PRIORITY}) AS p (priority) CROSS JOIN LATERAL (
                SELECT t.due_at FROM task_live t
                WHERE t.place = 'waiting' AND t.queue = k.queue AND t.priority = p.priority ORDER BY t.due_at LIMIT 1
            ) AS t
        ) END AS oldest_seconds
    FROM kept k WHERE k.tasks > 0
    UNION ALL
    SELECT s.queue, s.state, NULL, s.tasks, true, greatest(0, extract(epoch FROM now() - s.oldest))::float8 FROM sent s
""")

_OF_ONE = text(f"""
    WITH kept AS ({KEPT.format(where=" WHERE queue = :queue AND state = 'queued'")})
    SELECT greatest(0, coalesce((SELECT sum(tasks) FROM kept), 0))::bigint AS waiting,
        count(*) FILTER (WHERE state = 'queued') AS sent, count(*) FILTER (WHERE state = 'running') AS running
    FROM task_live WHERE place = 'sent' AND queue = :queue
""")

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('pointsman backlog'))")
# Who reads meanwhile sees a number before and its delta, or the sum of both.
_FOLD = text("""
    WITH taken AS (
        DELETE FROM backlog_delta WHERE id IN (SELECT id FROM backlog_delta ORDER BY id LIMIT :most)
        RETURNING queue, state, held_reason, tasks
    ), folded AS (
        INSERT INTO backlog AS old (queue, state, held_reason, tasks)
        SELECT queue, state, held_reason, sum(tasks) FROM taken GROUP BY queue, state, held_reason
        HAVING sum(tasks) <> 0
        ON CONFLICT (queue, state, held_reason) DO UPDATE SET tasks = old.tasks + excluded.tasks
    )
    SELECT count(*) FROM taken
""")
_FORGET = text("DELETE FROM backlog WHERE tasks = 0")

# Of the numbers and of the rows one statement sees the same moment: what moves meanwhile changes both, or neither.
_MEND = f"""
    WITH found AS (
        SELECT queue, {{state}} AS state, {{reason}} AS held_reason, count(*) AS tasks
        FROM task_live WHERE place = '{{place}}' GROUP BY {{by}}
    ), kept AS ({KEPT.format(where=" WHERE state = ANY(CAST('{{{states}}}' AS text[]))")})
    INSERT INTO backlog_delta (queue, state, held_reason, tasks)
    SELECT queue, state, held_reason, coalesce(f.tasks, 0) - coalesce(k.tasks, 0)
    FROM found f FULL JOIN kept k USING (queue, state, held_reason)
    WHERE coalesce(f.tasks, 0) <> coalesce(k.tasks, 0)
    RETURNING queue, state, held_reason, tasks
"""
# Each counts what an index has.
_MEND_WAITING = text(_MEND.format(place="waiting", state="'queued'", reason="''", by="queue", states="queued"))
_MEND_HELD = text(
    _MEND.format(
        place="held", state="'held'", reason="coalesce(held_reason, '')", by="held_reason, queue", states="held"
    )
)
_MEND_ASLEEP = text(
    _MEND.format(place="asleep", state="state", reason="''", by="queue, state", states="scheduled,retrying")
)


@dataclass(frozen=True, slots=True)
class Mended:
    """A number that was wrong."""

    queue: str
    state: str
    held_reason: str
    tasks: int
    """What it lacked; below 0 it was too high."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The tasks of one queue that a pause is about."""

    waiting: int
    """Due, in Postgres."""
    sent: int
    """Due, on the broker or on their way into a worker."""
    running: int


async def unfinished(connection: Connection) -> list[dict[str, Any]]:
    """Unfinished tasks by ``queue``, ``state`` and ``held_reason``, and whether they are ``sent``: ``tasks``, and of
    those that are due ``oldest_seconds`` since the earliest of them was.

    Costs what is sent, however many wait.
    """
    return [dict(row) for row in (await connection.execute(UNFINISHED)).mappings()]


async def of_queue(connection: Connection, queue: str) -> Unfinished:
    """The due tasks of a queue, by where they are."""
    return Unfinished(*(await connection.execute(_OF_ONE, {"queue": queue})).one())


async def fold(connection: Connection, most: int) -> int:
    """Add up to ``most`` deltas to the numbers; in a transaction. Returns how many it took."""
    await connection.execute(_LOCK)
    taken: int = (await connection.execute(_FOLD, {"most": most})).scalar_one()
    if taken:
        await connection.execute(_FORGET)
    return taken


async def mend(connection: Connection) -> list[Mended]:
    """Count the rows once, and set right what is kept of them; in a transaction. Returns what was wrong.

    Nobody waits for it. It reads the whole of three indexes: 0.4 s for a million tasks.
    """
    await connection.execute(_LOCK)
    return [
        Mended(*row)
        for statement in (_MEND_WAITING, _MEND_HELD, _MEND_ASLEEP)
        for row in (await connection.execute(statement)).all()
    ]
