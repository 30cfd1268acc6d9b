"""What each circuit breaker holds: tasks by type, counted as far as that costs little, and which of them go first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from pointsman_service.store.breakers.breakers import Key
from pointsman_service.store.queues.holding import reason_of
from pointsman_service.store.store import Connection

MOST_OF_MANY = 500
"""Tasks of one type that are counted, where many breakers are asked about."""
MOST_OF_ONE = 2_000
"""The same where one is."""
_TYPES_OF_MANY = 5
_TYPES_OF_ONE = 20
_OF_REASON = "t.place = 'held' AND t.held_reason = {of}.reason"


@dataclass(frozen=True, slots=True)
class HeldRow:
    """Tasks of one type that one circuit breaker holds."""

    reason: str
    task_type: str
    tasks: int
    """As far as they were counted."""
    since: datetime | None
    """When the first of those was held."""


@dataclass(frozen=True, slots=True)
class FirstRow:
    """A task that is held, and is one of the next to go."""

    id: UUID
    task_type: str
    queue: str
    priority: int
    held_at: datetime | None
    due_at: datetime


def behind(types: int, most: int) -> str:
    """SQL: ``HeldRow`` for the first ``types`` types of each of ``:reasons``, at most ``most`` tasks of each counted.

    It skips from one type to the next in the index, however many tasks each has; only a range with an order makes the
    planner take it (``store.queues.holding``).
    """
    return f"""
        WITH RECURSIVE types AS (
            SELECT r.reason, f.task_type, 1 AS number
            FROM unnest(CAST(:reasons AS text[])) AS r (reason) CROSS JOIN LATERAL (
                SELECT t.task_type FROM task_live t WHERE {_OF_REASON.format(of="r")}
                ORDER BY t.task_type, t.queue LIMIT 1) AS f
            UNION ALL
            SELECT p.reason, f.task_type, p.number + 1 FROM types p CROSS JOIN LATERAL (
                SELECT t.task_type FROM task_live t WHERE {_OF_REASON.format(of="p")} AND t.task_type > p.task_type
                ORDER BY t.task_type, t.queue LIMIT 1) AS f WHERE p.number < {types}
        )
        SELECT p.reason, p.task_type, c.tasks, c.since FROM types p CROSS JOIN LATERAL (
            SELECT count(*)::int AS tasks, min(held_at) AS since FROM (
                SELECT t.held_at FROM task_live t
                WHERE {_OF_REASON.format(of="p")} AND t.task_type BETWEEN p.task_type AND p.task_type
                ORDER BY t.task_type, t.queue LIMIT {most}) AS first_ones) AS c"""


_OF_MANY = text(behind(_TYPES_OF_MANY, MOST_OF_MANY))
_OF_ONE = text(behind(_TYPES_OF_ONE, MOST_OF_ONE))
_FIRST = text("""
    SELECT id, task_type, queue, priority, held_at, due_at FROM task_live
    WHERE place = 'held' AND held_reason = :reason
    ORDER BY priority DESC, due_at, id LIMIT :most
""")


async def behind_many(connection: Connection, keys: Sequence[Key]) -> dict[Key, list[HeldRow]]:
    """What these circuit breakers hold, by the first five types of each; of one that holds nothing an empty list."""
    by_reason = {reason_of(key): key for key in keys}
    found: dict[Key, list[HeldRow]] = {key: [] for key in keys}
    if not keys:
        return found
    for row in await connection.execute(_OF_MANY, {"reasons": list(by_reason)}):
        found[by_reason[row.reason]].append(HeldRow(*row))
    return found


async def behind_one(connection: Connection, key: Key) -> list[HeldRow]:
    """What a circuit breaker holds, by the first twenty types."""
    return [HeldRow(*row) for row in await connection.execute(_OF_ONE, {"reasons": [reason_of(key)]})]


async def first(connection: Connection, key: Key, most: int) -> list[FirstRow]:
    """The first tasks that a circuit breaker holds, in the order in which they are let go."""
    return [FirstRow(*row) for row in await connection.execute(_FIRST, {"reason": reason_of(key), "most": most})]
