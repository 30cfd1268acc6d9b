"""Tasks whose type no living worker of their queue knows: held, and let go when one does."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from pointsman_service.store.arrays import array_columns
from pointsman_service.store.changes import told
from pointsman_service.store.queues.holding import HELD, LET_GO
from pointsman_service.store.store import Connection

UNKNOWN_TASK_TYPE = "unknown_task_type"
"""``held_reason`` of such a task, and of one that a worker gave back because it does not know the type."""
MOST_PLACES = 200
"""Task types and queues that are looked at; who has more of them sees the first."""
MOST_COUNTED = 1000
"""Tasks of one of them that are counted: how many more there are takes too long to find out."""

Place = tuple[str, str]
"""Queue and task type."""


@dataclass(frozen=True, slots=True)
class HeldAt:
    """Tasks of one type that are held on one queue."""

    queue: str
    task_type: str
    tasks: int
    """At most ``MOST_COUNTED``."""
    since: datetime
    """When the first of those counted was held."""


# Skips from one place to the next in the index, however many tasks each has. Only a range with an order makes the
# planner take the index (``store.queues.holding``).
_FIRST_OF = """
    SELECT t.task_type, t.queue FROM task_live t WHERE t.place = 'held' AND t.held_reason = :reason{after}
    ORDER BY t.task_type, t.queue LIMIT 1
"""
_AT = """t.place = 'held' AND t.held_reason = :reason AND t.task_type BETWEEN p.task_type AND p.task_type
            AND t.queue BETWEEN p.queue AND p.queue"""
_HELD_PLACES = text(f"""
    WITH RECURSIVE places AS (
        SELECT * FROM ({_FIRST_OF.format(after="")}) AS first
        UNION ALL
        SELECT following.* FROM places p CROSS JOIN LATERAL (
            {_FIRST_OF.format(after=" AND (t.task_type, t.queue) > (p.task_type, p.queue)")}) AS following
    )
    SELECT p.queue, p.task_type, counted.tasks, counted.since FROM (SELECT * FROM places LIMIT :most) AS p
    CROSS JOIN LATERAL (
        SELECT count(*)::int AS tasks, min(held_at) AS since FROM (
            SELECT t.held_at FROM task_live t WHERE {_AT} ORDER BY t.task_type, t.queue LIMIT :counted) AS first_ones
    ) AS counted WHERE counted.tasks > 0
""")
_RELEASE = text(f"""
    WITH held AS (
        SELECT t.id FROM task_live t
        JOIN {array_columns({"queue": "text", "task_type": "text"}, "p")} ON {_AT}
        WHERE t.cancel_requested_at IS NULL
        LIMIT :most FOR UPDATE OF t SKIP LOCKED
    ), let_go AS (UPDATE task_live t SET {LET_GO} FROM held WHERE t.id = held.id RETURNING t.id), {told("let_go")}
    SELECT count(*) FROM let_go
""")

# They were marked as sent and their message was not published: nobody has one.
_HOLD_UNPUBLISHED = text(
    "WITH mine AS (SELECT t.id FROM task_live t JOIN "
    + array_columns({"id": "uuid", "dispatch": "integer"}, "e")
    + f"""
        ON t.id = e.id AND t.dispatch = e.dispatch
        WHERE t.id = ANY(CAST(:id AS uuid[])) AND t.place = 'sent' AND t.state = 'queued'
        ORDER BY t.id FOR UPDATE OF t
    ), held AS (
        UPDATE task_live t SET {HELD}, held_reason = '{UNKNOWN_TASK_TYPE}', dispatch = t.dispatch - 1
        FROM mine m WHERE t.id = m.id RETURNING t.id
    ), {told("held")}
    SELECT count(*) FROM held
"""
)
# What stands behind the first of them, so that others need not wait until each was looked at.
_HOLD_WAITING = text(f"""
    WITH front AS (
        SELECT id, task_type FROM task_live WHERE place = 'waiting' AND queue = :queue AND cancel_requested_at IS NULL
        ORDER BY priority DESC, due_at, id LIMIT :looked_at FOR UPDATE SKIP LOCKED
    ), held AS (
        UPDATE task_live t SET {HELD}, held_reason = '{UNKNOWN_TASK_TYPE}' FROM front f
        WHERE t.id = f.id AND f.task_type = ANY(CAST(:task_types AS text[])) RETURNING t.id
    ), {told("held")}
    SELECT count(*) FROM held
""")


async def held_places(connection: Connection, counted: int = 1) -> list[HeldAt]:
    """Where tasks are held because no worker knows their type, by type and queue; at most ``MOST_PLACES``. Up to
    ``counted`` tasks are counted at each.
    """
    parameters = {"reason": UNKNOWN_TASK_TYPE, "most": MOST_PLACES, "counted": counted}
    return [HeldAt(*row) for row in await connection.execute(_HELD_PLACES, parameters)]


async def release(connection: Connection, places: Collection[Place], most: int) -> int:
    """Let up to ``most`` of the tasks held at these places wait to be sent. Returns how many."""
    parameters = {
        "reason": UNKNOWN_TASK_TYPE,
        "queue": [queue for queue, _ in places],
        "task_type": [task_type for _, task_type in places],
        "most": most,
    }
    return int((await connection.execute(_RELEASE, parameters)).scalar_one())


async def hold_unpublished(connection: Connection, messages: Sequence[tuple[str, int]]) -> int:
    """Hold the tasks of these messages, (id, dispatch), that were marked as sent and not published; how many were."""
    columns = {"id": [task for task, _ in messages], "dispatch": [dispatch for _, dispatch in messages]}
    return int((await connection.execute(_HOLD_UNPUBLISHED, columns)).scalar_one())


async def hold_waiting(connection: Connection, queue: str, task_types: Collection[str], looked_at: int) -> int:
    """Hold the tasks of these types among the first ``looked_at`` that wait on a queue. Returns how many."""
    parameters = {"queue": queue, "task_types": sorted(task_types), "looked_at": looked_at}
    return int((await connection.execute(_HOLD_WAITING, parameters)).scalar_one())
