"""Whose tasks wait in a queue: its shares, a caller and a fairness key each, and the tasks of some of them.

All are found by ``ix_task_live_shares``, from one share to the next: however many tasks one has, they are not read.

Where one share waits and no other, its tasks wait ``alone``: not in that index, which costs a fifth of all that
PostgreSQL does for a submission. Once another share waits there, too, those in front are placed in it (``place``),
2,000 at a time.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from pointsman_contract.queues import MAX_PRIORITY
from pointsman_service.callers import LOCAL
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.store import Connection


class Share(NamedTuple):
    """What takes turns: the tasks of a caller with one fairness key."""

    caller: str
    key: str
    """Empty: of all that name none."""


NOBODY_ELSE = Share(LOCAL.name, "")
"""The share of all that comes without a key and names none."""

Line = Mapping[str, Sequence[str]]
"""The shares that wait at one priority of a queue: of each caller its keys. Both are in order."""

MOST_CALLERS = 200
"""Of one line that are looked at together; so many keys of each, too."""
MOST_KEYS = 100

# Rows are compared as the index has them, and ordered by all of it: else another index would give that order, too, and
# all of another share would be passed over.
_AT_AN_END = """
    (SELECT t.caller, t.fairness_key FROM task_live t
        WHERE t.place = 'waiting' AND NOT t.alone AND (t.queue, t.priority) >= (q.queue, p.priority)
            AND (t.queue, t.priority) <= (q.queue, p.priority)
        ORDER BY t.queue{down}, t.priority{down}, t.caller{down}, t.fairness_key{down} LIMIT 1)"""
# The first and the last of each priority: where these are one, there is no other.
_ENDS = text(f"""
    SELECT DISTINCT q.queue, s.caller, s.fairness_key FROM unnest(CAST(:queues AS text[])) AS q (queue)
    CROSS JOIN (SELECT n::smallint AS priority FROM generate_series(0, {MAX_PRIORITY}) AS n) AS p
    CROSS JOIN LATERAL ({_AT_AN_END.format(down="")} UNION ALL {_AT_AN_END.format(down=" DESC")}) AS s
""")

_QUEUE, _PRIORITY = "CAST(:queue AS text)", "CAST(:priority AS smallint)"
_NEXT_CALLER = f"""SELECT t.caller FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
                AND (t.queue, t.priority, t.caller) {{beyond}} ({_QUEUE}, {_PRIORITY}, {{caller}})
                AND (t.queue, t.priority) <= ({_QUEUE}, {_PRIORITY})
                ORDER BY t.queue, t.priority, t.caller LIMIT 1"""
_NEXT_KEY = f"""SELECT t.fairness_key FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
                AND (t.queue, t.priority, t.caller, t.fairness_key)
                    {{beyond}} ({_QUEUE}, {_PRIORITY}, c.caller, {{key}})
                AND (t.queue, t.priority, t.caller) <= ({_QUEUE}, {_PRIORITY}, c.caller)
                ORDER BY t.queue, t.priority, t.caller, t.fairness_key LIMIT 1"""
_LINE = text(f"""
    WITH RECURSIVE callers AS (
        SELECT n.caller, 1 AS number FROM ({_NEXT_CALLER.format(beyond=">=", caller="CAST(:after AS text)")}) AS n
        UNION ALL
        SELECT n.caller, c.number + 1 FROM callers c
            CROSS JOIN LATERAL ({_NEXT_CALLER.format(beyond=">", caller="c.caller")}) AS n
        WHERE c.number < {MOST_CALLERS}
    )
    SELECT c.caller, k.fairness_key FROM callers c
    LEFT JOIN {array_columns({"caller": "text", "key": "text"}, "at")} ON at.caller = c.caller
    LEFT JOIN LATERAL (
        WITH RECURSIVE keys AS (
            SELECT n.fairness_key, 1 AS number
            FROM ({_NEXT_KEY.format(beyond=">=", key="coalesce(at.key, '')")}) AS n
            UNION ALL
            SELECT n.fairness_key, k.number + 1 FROM keys k
                CROSS JOIN LATERAL ({_NEXT_KEY.format(beyond=">", key="k.fairness_key")}) AS n
            WHERE k.number < {MOST_KEYS}
        )
        SELECT fairness_key FROM keys
    ) AS k ON true
    ORDER BY c.caller, k.fairness_key
""")
_LOOKED_AT = 64
_PLACED_AT_ONCE = 2000
_FIRST_ONES = """
            SELECT t.id, t.caller, t.fairness_key, t.alone FROM task_live t
            WHERE t.place = 'waiting' AND t.queue = {queue} AND t.priority = {priority}
            ORDER BY t.due_at, t.id LIMIT {most}"""
# Those that wait alone were there before another share was: they are in front.
_ALONE = text(f"""
    SELECT DISTINCT q.queue, p.priority, f.caller, f.fairness_key FROM unnest(CAST(:queues AS text[])) AS q (queue)
    CROSS JOIN generate_series(0, {MAX_PRIORITY}) AS p (priority)
    CROSS JOIN LATERAL ({_FIRST_ONES.format(queue="q.queue", priority="p.priority", most=_LOOKED_AT)}) AS f
    WHERE f.alone
""")
_ALONE_AMONG = text(f"""
    SELECT f.caller, f.fairness_key, count(*) AS tasks
    FROM ({_FIRST_ONES.format(queue=_QUEUE, priority=_PRIORITY, most=":most")}) AS f
    WHERE f.alone GROUP BY f.caller, f.fairness_key
""")
# Two thousand rows by their ids are what a planner would read all of a smaller table for.
_ONE_BY_ONE = text("SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)")
# Rows are passed over that others have locked, for these are sent, cancelled or held at this moment.
_PLACE = text(f"""
    WITH f AS ({_FIRST_ONES.format(queue=_QUEUE, priority=_PRIORITY, most=_PLACED_AT_ONCE)}
    ), chosen AS (
        SELECT t.id FROM task_live t WHERE t.id IN (SELECT f.id FROM f WHERE f.alone) AND t.alone
        FOR UPDATE SKIP LOCKED
    ), placed AS (
        UPDATE task_live t SET alone = false FROM chosen WHERE t.id = chosen.id RETURNING t.id
    )
    SELECT count(*) FROM placed
""")
_ALONG_INDEXES = text("SELECT set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true)")
# One by one: of a table that was small a minute ago a planner would rather read all.
_OF_TASKS = text("""
    SELECT t.caller, t.fairness_key, count(*) AS tasks FROM unnest(CAST(:ids AS uuid[])) AS one (id)
    CROSS JOIN LATERAL (SELECT caller, fairness_key FROM task_live WHERE task_live.id = one.id LIMIT 1) AS t
    GROUP BY t.caller, t.fairness_key
""")
_LEVEL = text("""
    SELECT t.priority FROM task_live t
    WHERE t.place = 'waiting' AND t.queue = CAST(:queue AS text) AND t.priority < CAST(:below AS smallint)
    ORDER BY t.priority DESC LIMIT 1
""")


async def go_along_indexes(connection: Connection) -> None:
    """For the rest of the transaction: whose planner takes a table for as small as it was a minute ago would rather
    read and sort all that waits.
    """
    await connection.execute(_ALONG_INDEXES)


async def ends(connection: Connection, queues: Sequence[str]) -> dict[str, set[Share]]:
    """Of each queue where anything waits the first and the last share of each priority: where that is one share, all
    that waits is of it.
    """
    found: dict[str, set[Share]] = {}
    for row in await connection.execute(_ENDS, {"queues": list(queues)}):
        found.setdefault(row.queue, set()).add(Share(row.caller, row.fairness_key))
    return found


async def alone(connection: Connection, queues: Sequence[str]) -> dict[tuple[str, int], set[Share]]:
    """Whose tasks wait alone in front of these queues, by queue and priority; of none where none do."""
    found: dict[tuple[str, int], set[Share]] = {}
    for row in await connection.execute(_ALONE, {"queues": list(queues)}):
        found.setdefault((row.queue, row.priority), set()).add(Share(row.caller, row.fairness_key))
    return found


async def alone_among(connection: Connection, queue: str, priority: int, most: int) -> dict[Share, int]:
    """How many of each share wait alone among so many of the first of a priority."""
    rows = await connection.execute(_ALONE_AMONG, {"queue": queue, "priority": priority, "most": most})
    return {Share(row.caller, row.fairness_key): row.tasks for row in rows}


async def of_tasks(connection: Connection, ids: Sequence[UUID]) -> dict[Share, int]:
    """How many of these tasks are of each share; one that has ended is of none."""
    rows = await connection.execute(_OF_TASKS, {"ids": list(ids)})
    return {Share(row.caller, row.fairness_key): row.tasks for row in rows}


async def place(connection: Connection, queue: str, priority: int) -> int:
    """Let those take turns from now on that wait alone among the first 2,000 of a priority; how many did. In a
    transaction, which joins row by row from then on.
    """
    await connection.execute(_ONE_BY_ONE)
    placed: int = (await connection.execute(_PLACE, {"queue": queue, "priority": priority})).scalar_one()
    return placed


async def level(connection: Connection, queue: str, below: int) -> int | None:
    """The highest priority below ``below`` at which anything waits in a queue."""
    return (await connection.execute(_LEVEL, {"queue": queue, "below": below})).scalar_one_or_none()


async def line(
    connection: Connection, queue: str, priority: int, after: str = "", keys_after: Mapping[str, str] | None = None
) -> Line:
    """The shares that wait at a priority: ``MOST_CALLERS`` callers from ``after`` on, and ``MOST_KEYS`` of each. Of
    those in ``keys_after`` only keys from that one on; of a caller that has none such, none.
    """
    at = keys_after or {}
    parameters = {
        "queue": queue, "priority": priority, "after": after, "caller": list(at), "key": list(at.values()),
    }  # fmt: skip
    found: dict[str, list[str]] = {}
    for row in await connection.execute(_LINE, parameters):
        keys = found.setdefault(row.caller, [])
        if row.fairness_key is not None:
            keys.append(row.fairness_key)
    return found
