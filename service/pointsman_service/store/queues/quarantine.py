"""Tasks that lost their worker again and again, and the queues that are kept empty while one of them runs alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from pointsman_service.store.changes import told
from pointsman_service.store.queues.holding import LET_GO, QUARANTINE
from pointsman_service.store.store import Connection


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A task that waits until its pool has nothing else."""

    id: str
    queue: str


_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('pointsman quarantine'))")

_WAITING = text("""
    SELECT id, queue FROM task_live WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL
        AND NOT EXISTS (SELECT FROM quarantine_queue q WHERE q.task_id = task_live.id)
    ORDER BY due_at LIMIT :most
""")

_BUSY = """
    EXISTS (SELECT FROM task_live t WHERE t.place = 'sent' AND t.queue = ANY(CAST(:queues AS text[])))
    OR EXISTS (SELECT FROM task_live t WHERE t.place = 'waiting' AND t.queue = ANY(CAST(:queues AS text[]))
        AND t.cancel_requested_at IS NULL)
    OR EXISTS (SELECT FROM quarantine_queue q WHERE q.queue = ANY(CAST(:queues AS text[])))
"""
# All of them or none: a task whose pool is half empty would hold that half, and never run.
_KEEP_EMPTY = text(f"""
    INSERT INTO quarantine_queue (queue, task_id)
    SELECT queue, CAST(:id AS uuid) FROM unnest(CAST(:queues AS text[])) AS kept (queue) WHERE NOT ({_BUSY})
""")

# What an API process published before it knew must have ended first.
_LET_GO = text(f"""
    WITH alone AS (
        SELECT t.id FROM task_live t WHERE t.place = 'held' AND t.held_reason = :reason
            AND t.id IN (
                SELECT task_id FROM quarantine_queue GROUP BY task_id
                HAVING max(since) < now() - CAST(:settle AS float8) * interval '1 second')
            AND NOT EXISTS (
                SELECT FROM quarantine_queue q JOIN task_live o ON o.queue = q.queue AND o.place = 'sent'
                WHERE q.task_id = t.id)
        ORDER BY t.id FOR UPDATE OF t
    ), let_go AS (UPDATE task_live t SET {LET_GO} FROM alone a WHERE t.id = a.id RETURNING t.id), {told("let_go")}
    SELECT count(*) FROM let_go
""")

# A queue is not kept empty for a task that has ended, nor for ever for one that does not get its turn.
_OPEN = text("""
    DELETE FROM quarantine_queue q WHERE NOT EXISTS (
        SELECT FROM task_live t WHERE t.id = q.task_id AND (t.place IN ('waiting', 'sent')
            OR t.held_reason = :reason AND q.since > now() - CAST(:patience AS float8) * interval '1 second'))
""")

_KEPT = text("""
    SELECT queue, EXISTS (SELECT FROM task_live t WHERE t.id = q.task_id AND t.place = 'waiting' AND t.queue = q.queue)
        AS due FROM quarantine_queue q
""")

_KEPT_FOR = text("SELECT queue, task_id FROM quarantine_queue")


async def lock(connection: Connection) -> None:
    """Wait until no other process decides about quarantine; to the end of the transaction."""
    await connection.execute(_LOCK)


async def waiting(connection: Connection, most: int) -> list[Quarantined]:
    """Tasks for which nothing is kept empty yet, the longest due first."""
    rows = await connection.execute(_WAITING, {"reason": QUARANTINE, "most": most})
    return [Quarantined(str(row.id), row.queue) for row in rows]


async def keep_empty(connection: Connection, task_id: str, queues: Sequence[str]) -> bool:
    """Send nothing else on these queues, if nothing waits, is sent or runs there now: whether that was so."""
    return (await connection.execute(_KEEP_EMPTY, {"id": task_id, "queues": sorted(queues)})).rowcount > 0


async def let_go(connection: Connection, settle_seconds: float) -> int:
    """Let the tasks be sent whose queues have been kept empty for so long and are empty. Returns how many."""
    return int((await connection.execute(_LET_GO, {"reason": QUARANTINE, "settle": settle_seconds})).scalar_one())


async def open_queues(connection: Connection, patience_seconds: float) -> int:
    """Open the queues again that were kept empty for a task that ended, or waits for another attempt, or could not be
    let go for so long.

    Returns how many queues.
    """
    return (await connection.execute(_OPEN, {"reason": QUARANTINE, "patience": patience_seconds})).rowcount


async def kept_queues(connection: Connection) -> dict[str, bool]:
    """The queues that are kept empty, and whether the task they are kept for waits to be sent there."""
    return {row.queue: row.due for row in await connection.execute(_KEPT)}


async def kept_for(connection: Connection) -> dict[str, str]:
    """By queue that is kept empty, the task that it is kept for."""
    return {row.queue: str(row.task_id) for row in await connection.execute(_KEPT_FOR)}
