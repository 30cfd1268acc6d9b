"""What the rules of alerts ask the database; each answer is bounded, however long the backlog."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from pointsman_contract.errors import ErrorType
from pointsman_contract.queues import MAX_PRIORITY
from pointsman_service.store.breakers.breakers import IN_FIRST_DOUBT
from pointsman_service.store.store import Connection

MOST_BREAKERS = 500
_MOST_TASK_TYPES = 200
_MOST_ERRORS = 500


@dataclass(frozen=True, slots=True)
class TrippedRow:
    """A breaker that lets not every call through."""

    scope: str
    name: str
    seen: str
    since: float
    last_error: Mapping[str, Any] | None
    """All of ``pointsman_service.breaker.last_error.LastError``."""


@dataclass(frozen=True, slots=True)
class FailureRow:
    """A task that failed for good."""

    task_type: str
    task_id: str
    error_type: str
    error_message: str
    """The first 500 characters."""


@dataclass(frozen=True, slots=True)
class ErrorNewsRow:
    """An error group that is new or back again."""

    group: str
    task_type: str
    blamed: str | None
    error_type: str | None
    message: str
    since: float
    is_back: bool


@dataclass(frozen=True, slots=True)
class DueRow:
    """The oldest tasks of one queue that are due and not started."""

    queue: str
    waiting_seconds: float | None
    """Of those in PostgreSQL."""
    sent_seconds: float | None
    """Of those that were sent."""
    waiting_priority: int | None = None
    """Of the oldest that waits in PostgreSQL."""
    sent_priority: int | None = None
    """Of the oldest that was sent."""


@dataclass(frozen=True, slots=True)
class StartsRow:
    """First starts of one queue: met and missed within 5 minutes, half an hour, an hour, six hours."""

    queue: str
    met: tuple[float, ...]
    missed: tuple[float, ...]


# A doubt is no alert: within a moment it is found that some inputs are bad, or it is open.
_TRIPPED = text(f"""
    SELECT scope, name, seen, coalesce((SELECT extract(epoch FROM t.at)::float8 FROM breaker_transition t
        WHERE t.scope = b.scope AND t.name = b.name AND t.before IN ('closed', 'disabled') ORDER BY t.id DESC LIMIT 1),
        extract(epoch FROM b.updated_at)::float8) AS since, last_error
    FROM breaker b WHERE seen IN ('open', 'half_open', 'forced_open')
        AND NOT ({IN_FIRST_DOUBT} AND b.updated_at > now() - interval '10 seconds')
    ORDER BY scope, name LIMIT :most
""")
# The time that a task was held is nobody's wait for a worker.
_WAITS_SINCE = "t.due_at + t.held_wait_seconds * interval '1 second' AS since"
_LOOKED_AT = 20
"""Of those that have been due longest some may have been held."""
# A few probes of the index for each queue and priority: the minimum of a whole queue would read all of it.
_DUE = text(f"""
    SELECT q.queue, extract(epoch FROM now() - w.since)::float8 AS waiting, extract(epoch FROM now() - s.since)::float8
        AS sent, w.priority, s.priority
    FROM unnest(CAST(:queues AS text[])) AS q (queue)
    LEFT JOIN LATERAL (
        SELECT {_WAITS_SINCE}, p.priority FROM generate_series(0, {MAX_PRIORITY}) AS p (priority)
        CROSS JOIN LATERAL (SELECT t.due_at, t.held_wait_seconds FROM task_live t WHERE t.place = 'waiting'
            AND t.queue = q.queue AND t.priority = p.priority ORDER BY t.due_at LIMIT {_LOOKED_AT}) AS t
        ORDER BY since LIMIT 1
    ) AS w ON true
    LEFT JOIN LATERAL (
        SELECT {_WAITS_SINCE}, t.priority FROM task_live t
        WHERE t.place = 'sent' AND t.queue = q.queue AND t.state = 'queued' ORDER BY since LIMIT 1
    ) AS s ON true
""")
_WINDOWS = (300, 1800, 3600, 21600)
_SUMS = ", ".join(
    f"coalesce(sum(sla_{what}) FILTER (WHERE minute > now() - interval '{seconds} seconds'), 0)::float8"
    for what in ("met", "missed")
    for seconds in _WINDOWS
)
_SINCE = f"minute > now() - interval '{_WINDOWS[-1]} seconds' AND (sla_met > 0 OR sla_missed > 0)"
_STARTS = text(f"""
    SELECT queue, {_SUMS} FROM (
        SELECT queue, minute, sla_met, sla_missed FROM task_metrics WHERE {_SINCE}
        UNION ALL SELECT queue, minute, sla_met, sla_missed FROM task_metrics_delta WHERE {_SINCE}
    ) AS counted GROUP BY queue
""")
_FAILED = text("""
    SELECT task_type, sum(failed)::int AS failed FROM (
        SELECT task_type, failed FROM task_metrics WHERE minute > now() - interval '15 minutes' AND failed > 0
        UNION ALL
        SELECT task_type, failed FROM task_metrics_delta WHERE minute > now() - interval '15 minutes' AND failed > 0
    ) AS counted GROUP BY task_type ORDER BY failed DESC LIMIT :most
""")

# What an open breaker fails at once is no news of its own, nor are the failures of a dependency that have ended: they
# were the breaker's.
_ERROR_NEWS = text(f"""
    SELECT id::text, task_type, blamed, error_type, message, extract(epoch FROM news_at)::float8, came_back
    FROM error_group WHERE news_at > now() - interval '1 hour' AND state = 'open' AND occurrences > 0
        AND error_type IS DISTINCT FROM '{ErrorType.FAILED_FAST}'
        AND error_type IS DISTINCT FROM '{ErrorType.CALL_NOT_MADE}'
        AND (coalesce(blamed, '') NOT LIKE 'dependency:%' OR last_seen_at > now() - interval '5 minutes')
    ORDER BY news_at, id LIMIT :most
""")


# Those submitted last, of the index alone: who looks for the newest of one type may read all of a day.
_NEWEST = 2000
_LAST_FAILED = text(f"""
    SELECT DISTINCT ON (task_type) task_type, id, error_type, left(error_message, 500) FROM (
        SELECT id, task_type, error_type, error_message FROM task WHERE state = 'failed'
        ORDER BY id DESC LIMIT {_NEWEST}
    ) AS newest WHERE task_type = ANY(CAST(:task_types AS text[])) ORDER BY task_type, id DESC
""")


async def tripped(connection: Connection) -> list[TrippedRow]:
    """Breakers that are open or half open, at most ``MOST_BREAKERS`` and one."""
    return [TrippedRow(*row) for row in await connection.execute(_TRIPPED, {"most": MOST_BREAKERS + 1})]


async def error_news(connection: Connection) -> list[ErrorNewsRow]:
    """Groups that are new or back again since an hour at most, and that nobody has dealt with."""
    return [ErrorNewsRow(*row) for row in await connection.execute(_ERROR_NEWS, {"most": _MOST_ERRORS})]


async def due(connection: Connection, queues: Sequence[str]) -> list[DueRow]:
    """The oldest due tasks of these queues."""
    return [DueRow(*row) for row in await connection.execute(_DUE, {"queues": list(queues)})]


async def starts(connection: Connection) -> list[StartsRow]:
    """First starts of every queue that had some."""
    half = len(_WINDOWS)
    rows: Any = await connection.execute(_STARTS)
    return [StartsRow(row[0], tuple(row[1 : 1 + half]), tuple(row[1 + half :])) for row in rows]


async def failed(connection: Connection) -> dict[str, int]:
    """Tasks that failed for good within a quarter of an hour, by task type."""
    return {row.task_type: row.failed for row in await connection.execute(_FAILED, {"most": _MOST_TASK_TYPES})}


async def last_failures(connection: Connection, task_types: Sequence[str]) -> list[FailureRow]:
    """Of each of these types the newest task that failed for good, where it is among the newest of all."""
    rows = await connection.execute(_LAST_FAILED, {"task_types": list(task_types)})
    return [FailureRow(row[0], str(row[1]), row[2] or "", row[3] or "") for row in rows]
