"""Sent tasks whose message has left its list: fetched, running, finished and not recorded yet, or lost."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from pointsman_service.store.arrays import array_columns
from pointsman_service.store.lost.rescuing import Running
from pointsman_service.store.store import Connection


@dataclass(frozen=True, slots=True)
class Before:
    """Where to look: what was sent on a queue with a priority before a moment, and not before another (Unix seconds,
    database clock).
    """

    queue: str
    priority: int
    since: float
    at: float


@dataclass(frozen=True, slots=True)
class Unstarted:
    """A task that was sent and is not known to have started."""

    id: str
    attempt: int
    dispatch: int
    queue: str
    sent_at: float
    """Unix seconds, database clock."""
    sent_epoch: int


# By index from the oldest on: what is still in its list, however much, is not looked at.
_PLACES = {"queue": "text", "priority": "smallint", "since": "float8", "before": "float8"}
_HERE = "place = 'sent' AND queue = l.queue AND priority = l.priority AND sent_at >= to_timestamp(l.since)"
# A place at a time, each along its part of the index: a queue of many must not hide the others.
_SENT = (
    "SELECT t.* FROM "
    + array_columns(_PLACES, "l")
    + f"""
    CROSS JOIN LATERAL (
        SELECT id, attempt, dispatch, queue, worker, sent_epoch, extract(epoch FROM sent_at)::float8 AS sent_at
        FROM task_live
        WHERE {_HERE} AND sent_at < to_timestamp(l.before) AND {{condition}}
        ORDER BY task_live.sent_at LIMIT :most
    ) AS t
"""
)
_LOWEST = text(
    "SELECT l.queue, l.priority, extract(epoch FROM t.sent_at)::float8 AS sent_at FROM "
    + array_columns(_PLACES, "l")
    + f" CROSS JOIN LATERAL (SELECT sent_at FROM task_live WHERE {_HERE} ORDER BY sent_at LIMIT 1) AS t"
)
_UNSTARTED = text(_SENT.format(condition="state = 'queued' AND sent_epoch <= :epoch"))
_RUNNING = text(_SENT.format(condition="state = 'running'"))

_OVER = text(
    "SELECT e.id, e.dispatch FROM "
    + array_columns({"id": "uuid", "dispatch": "integer"}, "e")
    + """
    LEFT JOIN task_live t ON t.id = e.id AND t.id = ANY(CAST(:id AS uuid[]))
    WHERE t.id IS NULL OR t.dispatch > e.dispatch OR t.place <> 'sent'
"""
)

_UNFINISHED = text("SELECT id FROM task_live WHERE id = ANY(CAST(:id AS uuid[]))")


async def lowest(connection: Connection, places: Sequence[Before]) -> dict[tuple[str, int], float]:
    """When the oldest of all that are sent or run was sent, by queue and priority; without those that have none."""
    rows = await connection.execute(_LOWEST, _columns(places))
    return {(row.queue, row.priority): row.sent_at for row in rows}


async def unstarted(connection: Connection, places: Sequence[Before], epoch: int, most: int) -> list[Unstarted]:
    """Up to ``most`` tasks of each place that were sent up to this epoch and did not start, oldest first."""
    rows = await connection.execute(_UNSTARTED, _columns(places) | {"epoch": epoch, "most": most})
    return [Unstarted(str(row.id), row.attempt, row.dispatch, row.queue, row.sent_at, row.sent_epoch) for row in rows]


async def running(connection: Connection, places: Sequence[Before], most: int) -> list[Running]:
    """Up to ``most`` attempts of each place that are said to run, oldest first."""
    rows = await connection.execute(_RUNNING, _columns(places) | {"most": most})
    return [Running(str(row.id), row.attempt, row.worker) for row in rows]


async def over(connection: Connection, sendings: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Which (task, sending) can change nothing any more: the task has ended, or waits to be sent again, or was."""
    columns = {"id": [task for task, _ in sendings], "dispatch": [dispatch for _, dispatch in sendings]}
    return [(str(row.id), row.dispatch) for row in await connection.execute(_OVER, columns)]


async def finished(connection: Connection, tasks: Sequence[str]) -> list[str]:
    """Which of these tasks have ended."""
    unfinished = {str(task) for task in (await connection.execute(_UNFINISHED, {"id": list(tasks)})).scalars()}
    return [task for task in tasks if task not in unfinished]


def _columns(places: Sequence[Before]) -> dict[str, object]:
    return {
        "queue": [place.queue for place in places],
        "priority": [place.priority for place in places],
        "since": [place.since for place in places],
        "before": [place.at for place in places],
    }
