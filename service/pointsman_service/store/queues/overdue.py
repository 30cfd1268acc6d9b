"""Tasks that have missed their target and have not started: no counter knows of them before they start or end."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text

from pointsman_contract.queues import MAX_PRIORITY
from pointsman_service.store.store import Connection

MOST_COUNTED = 1_000
"""Of one queue no more are counted: each is a row that is looked at, and with a million of them ten thousand took a
third of a second."""
WINDOWS = (300, 1800, 3600, 21_600)
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """Of one queue."""

    tasks: int
    """At most ``MOST_COUNTED``: there may be more."""
    within: tuple[int, ...]
    """Those of them that missed within each of ``WINDOWS``."""


_WITHIN = ", ".join(f"count(*) FILTER (WHERE late.seconds < {seconds})::int AS within_{seconds}" for seconds in WINDOWS)
_LATE = "extract(epoch FROM now() - t.due_at) - t.held_wait_seconds - t.sla_seconds"
# The time that a task was held does not count. Of those that wait the index has the oldest of each priority first, and
# the row says the rest; those that were sent are no more than a window, and some may have started unrecorded.
_OVERDUE = text(f"""
    SELECT q.queue, count(*)::int AS tasks, {_WITHIN}
    FROM unnest(CAST(:queues AS text[]), CAST(:targets AS float8[])) AS q (queue, target)
    CROSS JOIN LATERAL (
        SELECT seconds FROM (
            SELECT {_LATE} AS seconds, t.attempt FROM generate_series(0, {MAX_PRIORITY}) AS p (priority)
            CROSS JOIN LATERAL (
                SELECT t.due_at, t.held_wait_seconds, t.sla_seconds, t.attempt FROM task_live t
                WHERE t.place = 'waiting' AND t.queue = q.queue AND t.priority = p.priority
                    AND t.due_at < now() - q.target * interval '1 second'
                ORDER BY t.due_at LIMIT {MOST_COUNTED}
            ) AS t
            UNION ALL
            SELECT {_LATE}, t.attempt FROM task_live t
            WHERE t.place = 'sent' AND t.queue = q.queue AND t.state = 'queued'
                AND t.due_at < now() - (q.target + CAST(:unrecorded AS float8)) * interval '1 second'
        ) AS found WHERE seconds > 0 AND attempt = 0 LIMIT {MOST_COUNTED}
    ) AS late
    GROUP BY q.queue
""")


async def overdue(
    connection: Connection, targets: Mapping[str, float], unrecorded_seconds: float = 0.0
) -> dict[str, Overdue]:
    """By queue; one without any is absent. ``targets``: the SLA of each queue, in seconds. What was sent may have
    started within the last ``unrecorded_seconds``, and does not count before it is later than that.
    """
    parameters = {"queues": list(targets), "targets": list(targets.values()), "unrecorded": unrecorded_seconds}
    rows = await connection.execute(_OVERDUE, parameters)
    return {row[0]: Overdue(row[1], tuple(row[2:])) for row in rows}
