"""Tasks of a queue that a purge is about: how many there are, as far as that is known, and their end asked for."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from pointsman_contract.states import TaskState
from pointsman_service.store.queues.backlog import KEPT
from pointsman_service.store.store import Connection
from pointsman_service.store.tasks.reading import ID_SLACK
from pointsman_service.store.upkeep.partitions import lowest_id

MOST_LOOKED_AT = 10_000
"""Rows that a count looks at of each kind: those that came since a moment, and those that are to end."""
_TASKS_A_STATEMENT = 20_000
"""No statement may take longer than a caller waits for any."""

_WHICH = "queue = :queue AND state = ANY(CAST(:states AS text[])) AND state <> 'running'"
_UNSTARTED = f"""
    {_WHICH} AND cancel_requested_at IS NULL AND submitted_at < :before AND id < CAST(:highest AS uuid)
"""
# Without a grace time: what starts first is left alone, and its row forgets the request (``recording.begin``).
_ASK = f"""
    WITH part AS (
        SELECT id FROM task_live WHERE {_UNSTARTED} AND id > :above{{among}} ORDER BY id LIMIT :most FOR UPDATE
    ), purged AS (
        UPDATE task_live t SET cancel_requested_at = now(), cancel_grace_seconds = NULL FROM part p WHERE t.id = p.id
        RETURNING t.id
    )
    SELECT count(*) AS tasks, (array_agg(id ORDER BY id DESC))[1] AS last FROM purged
"""
_PURGE = text(_ASK.format(among=""))
# Of one queue an index has those that are due.
_PURGE_FEW = text(
    _ASK.format(
        among=""" AND id = ANY(ARRAY(
            SELECT id FROM task_live WHERE place = 'waiting' AND queue = :queue
            UNION ALL SELECT id FROM task_live WHERE place = 'sent' AND queue = :queue))"""
    )
)
# The numbers are of all that are there: what came since, and what is to end anyhow, is taken from them.
_COUNT = text(f"""
    WITH kept AS ({KEPT.format(where=" WHERE queue = :queue AND state = ANY(CAST(:states AS text[]))")}),
    newer AS (
        SELECT {_WHICH} AND submitted_at >= :before AND cancel_requested_at IS NULL AS counts FROM task_live
        WHERE id >= CAST(:lowest AS uuid) ORDER BY id LIMIT :most
    ), ending AS (
        SELECT {_WHICH} AS counts FROM task_live WHERE cancel_requested_at IS NOT NULL LIMIT :most
    )
    SELECT greatest(0, coalesce((SELECT sum(tasks) FROM kept), 0) + (
            SELECT count(*) FROM task_live WHERE place = 'sent' AND {_WHICH}
        ) - newer.tasks - ending.tasks)::bigint AS tasks,
        greatest(newer.looked, ending.looked) >= :most AS is_most
    FROM (SELECT count(*) AS looked, count(*) FILTER (WHERE counts) AS tasks FROM newer) AS newer
        CROSS JOIN (SELECT count(*) AS looked, count(*) FILTER (WHERE counts) AS tasks FROM ending) AS ending
""")
_PENDING = text("""
    SELECT count(*) FROM (
        SELECT FROM task_live WHERE cancel_requested_at IS NOT NULL AND cancel_grace_seconds IS NULL AND queue = :queue
        LIMIT :most
    ) AS counted
""")


@dataclass(frozen=True, slots=True)
class Unstarted:
    """Tasks that have not started."""

    tasks: int
    is_most: bool
    """There may be fewer: of those that came since, or are to end, more were there than are looked at."""


async def count(
    connection: Connection, queue: str, states: Collection[TaskState], before: datetime, *, is_now: bool
) -> Unstarted:
    """How many tasks of a queue in these states ``purge`` would ask an end of. It costs what is sent, however many
    wait: the others are known (``store.queues.backlog``).

    ``is_now``: nothing has come since ``before``.
    """
    lowest = UUID(int=2**128 - 1) if is_now else lowest_id(before - ID_SLACK)
    parameters = _parameters(queue, states, before) | {"lowest": lowest, "most": MOST_LOOKED_AT}
    del parameters["highest"]
    row = (await connection.execute(_COUNT, parameters)).one()
    return Unstarted(row.tasks, row.is_most)


async def purge(
    connection: Connection,
    queue: str,
    states: Collection[TaskState],
    before: datetime,
    most: int | None = None,
    *,
    is_few: bool = False,
) -> int:
    """Ask for an end of the tasks of a queue in these states that were submitted before a moment, unless they start
    first; in a transaction. Returns how many; with ``most``, it ends with the first that is one too many.

    ``is_few``: the queue is read by itself. Otherwise all that is unfinished is, once: that takes no sorting.
    """
    statement = _PURGE_FEW if is_few and set(states) == {TaskState.QUEUED} else _PURGE
    purged: int = 0
    last = UUID(int=0)
    while True:
        # By rising id, so that the parts are locked in the order of ``locking``.
        limit = _TASKS_A_STATEMENT if most is None else min(_TASKS_A_STATEMENT, most + 1 - purged)
        part = _parameters(queue, states, before) | {"above": last, "most": limit}
        row = (await connection.execute(statement, part)).one()
        purged += row.tasks
        if row.tasks < limit or (most is not None and purged > most):
            return purged
        last = row.last


async def pending(connection: Connection, queue: str) -> int:
    """How many tasks of a queue were purged and have neither ended nor started: ``MOST_LOOKED_AT`` stands for more."""
    found: int = (await connection.execute(_PENDING, {"queue": queue, "most": MOST_LOOKED_AT})).scalar_one()
    return found


def _parameters(queue: str, states: Collection[TaskState], before: datetime) -> dict[str, Any]:
    highest = lowest_id(before + ID_SLACK)
    return {"queue": queue, "states": [str(state) for state in states], "before": before, "highest": highest}
