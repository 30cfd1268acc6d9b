"""How many tasks of a caller wait for their start: counted, and no further than a quota goes."""

from collections.abc import Mapping, Sequence

from sqlalchemy import text

from pointsman_contract.queues import MAX_PRIORITY
from pointsman_service.store.store import Connection

# A probe of the index of shares for each queue and priority, and as many of its rows as a quota has: a task that is
# counted is in it (``NewTask.is_counted``). Those on the broker are as few as the windows of queues are. Only a range
# with an order makes the planner take that index.
_WAITING = text(f"""
    SELECT c.caller, w.tasks + coalesce(s.tasks, 0) AS tasks
    FROM unnest(CAST(:callers AS text[]), CAST(:most AS bigint[])) AS c (caller, most)
    CROSS JOIN LATERAL (
        SELECT count(*) AS tasks FROM (
            SELECT FROM unnest(CAST(:queues AS text[])) AS q (queue)
            CROSS JOIN (SELECT n::smallint AS priority FROM generate_series(0, {MAX_PRIORITY}) AS n) AS p
            CROSS JOIN LATERAL (
                SELECT FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
                    AND (t.queue, t.priority, t.caller) >= (q.queue, p.priority, c.caller)
                    AND (t.queue, t.priority, t.caller) <= (q.queue, p.priority, c.caller)
                    ORDER BY t.queue, t.priority, t.caller LIMIT c.most
            ) AS t LIMIT c.most
        ) AS found
    ) AS w LEFT JOIN (
        SELECT caller, count(*) AS tasks FROM task_live
        WHERE place = 'sent' AND state = 'queued' AND caller = ANY(CAST(:callers AS text[])) GROUP BY caller
    ) AS s ON s.caller = c.caller
""")


async def waiting(connection: Connection, most: Mapping[str, int], queues: Sequence[str]) -> dict[str, int]:
    """Tasks of each of these callers that are due and not started, on these queues. Of those that are not sent no more
    than is said beside its name are counted.
    """
    parameters = {"callers": list(most), "most": list(most.values()), "queues": list(queues)}
    return {row.caller: row.tasks for row in await connection.execute(_WAITING, parameters)}
