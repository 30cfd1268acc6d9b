"""How many tasks go before one that waits, where callers take turns. Bounded, however long the line."""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from pointsman_service.store.arrays import array_columns
from pointsman_service.store.queues import shares
from pointsman_service.store.queues.shares import Share
from pointsman_service.store.store import Connection

_HIGHEST_KEY = "\x7f"
"""No key is above it."""
_PLACE = "(t.queue, t.priority, t.caller, t.fairness_key"
_ORDER = "t.queue, t.priority, t.caller, t.fairness_key"
# Of those that wait alone as many are looked at, for these are in no index of shares.
_OWN = text(f"""
    SELECT (SELECT count(*) FROM (
        SELECT FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
            AND {_PLACE}) >= (CAST(:queue AS text), CAST(:priority AS smallint), CAST(:caller AS text),
                CAST(:key AS text))
            AND {_PLACE}, t.due_at, t.id) < (CAST(:queue AS text), CAST(:priority AS smallint), CAST(:caller AS text),
                CAST(:key AS text), CAST(:due_at AS timestamptz), CAST(:id AS uuid))
        ORDER BY {_ORDER} LIMIT :most) AS in_turn
    ) + (SELECT count(*) FROM (
        SELECT t.caller, t.fairness_key, t.alone FROM task_live t
        WHERE t.place = 'waiting' AND t.queue = CAST(:queue AS text) AND t.priority = CAST(:priority AS smallint)
            AND (t.due_at, t.id) < (CAST(:due_at AS timestamptz), CAST(:id AS uuid))
        ORDER BY t.due_at, t.id LIMIT :most) AS first_ones
        WHERE alone AND caller = CAST(:caller AS text) AND fairness_key = CAST(:key AS text)
    ) AS before
""")
_OTHERS = text(
    "SELECT count(*) FROM (SELECT FROM "
    + array_columns({"caller": "text", "low": "text", "high": "text", "turns": "integer"}, "w")
    + f""" CROSS JOIN LATERAL (
            SELECT FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
                AND {_PLACE}) >= (CAST(:queue AS text), CAST(:priority AS smallint), w.caller, w.low)
                AND {_PLACE}) <= (CAST(:queue AS text), CAST(:priority AS smallint), w.caller, w.high)
            ORDER BY {_ORDER} LIMIT w.turns) AS first_ones
        LIMIT :most) AS before
"""
)


async def before_in_turn(
    connection: Connection,
    task_id: UUID,
    queue: str,
    priority: int,
    due_at: datetime,
    share: Share,
    weights: Mapping[str, float],
    most: int,
) -> int:
    """Tasks of its priority that are sent before a task of ``share``, if nobody comes anew: those of its own share that
    are due before, and of all others as many as have their turn meanwhile. ``most`` of each are counted, of the shares
    that are looked at together. In a transaction, which goes along indexes from then on.
    """
    await shares.go_along_indexes(connection)
    here = {"queue": queue, "priority": priority, "most": most}
    line = await shares.line(connection, queue, priority)
    own = {"caller": share.caller, "key": share.key, "due_at": due_at, "id": task_id}
    before: int = (await connection.execute(_OWN, here | own)).scalar_one()
    keys = [key for key in line.get(share.caller, ()) if key != share.key]
    of_keys = {"caller": [share.caller] * len(keys), "low": keys, "high": keys, "turns": [before + 1] * len(keys)}
    before += (await connection.execute(_OTHERS, here | of_keys)).scalar_one()
    # Others that wait alone have their turns from the next look of the dispatcher on.
    alone = {
        other: tasks
        for other, tasks in (await shares.alone_among(connection, queue, priority, most)).items()
        if other.key not in line.get(other.caller, ()) and other != share
    }
    before += sum(min(tasks, before + 1) for other, tasks in alone.items() if other.caller == share.caller)
    turns = _turns_meanwhile({*line, *(other.caller for other in alone)}, share.caller, before + 1, weights)
    before += sum(min(tasks, turns[other.caller]) for other, tasks in alone.items() if other.caller != share.caller)
    of_callers = {
        "caller": list(turns),
        "low": [""] * len(turns),
        "high": [_HIGHEST_KEY] * len(turns),
        "turns": list(turns.values()),
    }
    return before + int((await connection.execute(_OTHERS, here | of_callers)).scalar_one())


def _turns_meanwhile(callers: Iterable[str], caller: str, turns: int, weights: Mapping[str, float]) -> dict[str, int]:
    """How many turns each other caller has until this one has had so many."""
    mine = weights.get(caller, 1.0)
    return {other: math.ceil(turns * weights.get(other, 1.0) / mine) for other in callers if other != caller}
