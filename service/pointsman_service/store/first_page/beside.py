"""What is told beside a cause, in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text

from pointsman_contract.queues import MAX_PRIORITY
from pointsman_service.store import audit
from pointsman_service.store.first_page.moving import MOST_COUNTED
from pointsman_service.store.first_page.together import together, whole
from pointsman_service.store.queues.held import HeldRow, behind
from pointsman_service.store.store import Connection
from pointsman_service.store.tasks.explaining import RunRow

_MOST_ERRORS = 8
_MOST_HELD_TYPES = 5
_MOST_CHANGES = 12
_SAMPLED = 500
"""Of the tasks that wait on a queue: what they have in common is told by the first of them."""
_MOST_RUNS = 500
_MINUTES = 15


@dataclass(frozen=True, slots=True)
class GroupRow:
    """An error group that occurred within the last hour."""

    id: UUID
    task_type: str
    error_type: str | None
    message: str
    blamed: str | None
    is_new: bool
    is_back: bool
    count: int
    """Attempts that failed so within the hour."""
    place: int
    """Among all of them, what is news first, then by count."""
    first_seen_at: datetime
    changed_at: datetime
    last_seen_at: datetime
    example_task_id: UUID
    example_message: str
    traceback: str
    """The end of its example's."""


@dataclass(frozen=True, slots=True)
class RunsRow:
    """What tasks of one type came to within a quarter of an hour."""

    task_type: str
    executions: int
    failed: int
    succeeded: int


@dataclass(frozen=True, slots=True)
class VersionRow:
    """When the versions of task types were first published: those of one moment together."""

    at: datetime
    task_types: Sequence[str]
    """The first of those that are new versions of types that were there before."""
    new_versions: int
    """How many there are."""
    new_types: Sequence[str]
    """The first of the types that were not there before."""
    new_types_in_all: int


@dataclass(frozen=True, slots=True)
class WaitsRow:
    """What the first tasks that wait on a queue are."""

    queue: str
    looked_at: int
    task_type: str
    of_type: int
    tag: str | None
    """``name:value``."""
    tagged: int
    submitted_from: datetime
    submitted_to: datetime


@dataclass(frozen=True, slots=True)
class FlowRow:
    """What came and went on one queue."""

    queue: str
    seconds: float
    submitted: int
    executions: int


@dataclass(frozen=True, slots=True)
class MinuteRow:
    """What came, or went, on one queue within one minute, a second."""

    queue: str
    figure: str
    """``arrival_rate`` or ``service_rate``."""
    ago: int
    """How many minutes ago; 0 is the one that is not over."""
    rate: float


@dataclass(frozen=True, slots=True)
class PublisherOf:
    """Who published a task type last."""

    task_type: str
    name: str | None
    last_seen_at: datetime | None
    published_at: datetime


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One act."""

    at: datetime
    act: str
    subject: str
    actor: str
    reason: str | None
    about: str | None = None
    """What its subject is, where that is an id: what an error or an alert says, how many tasks it was about."""


@dataclass(frozen=True, slots=True)
class Around:
    """What is told beside a cause."""

    held: Sequence[HeldRow]
    groups: Sequence[GroupRow]
    runs: Sequence[RunsRow]
    versions: Sequence[VersionRow]
    changes: Sequence[ChangeRow]
    running: Sequence[RunRow]
    waits: Sequence[WaitsRow]
    flow: Sequence[FlowRow]
    minutes: Sequence[MinuteRow]
    publishers: Sequence[PublisherOf]


@dataclass(frozen=True, slots=True)
class Asked:
    """What ``around`` is asked about."""

    reasons: Sequence[str] = ()
    """Why tasks are held: ``held_reason``."""
    blamed: Sequence[str] = ()
    """Circuit breakers: ``dependency:smtp``."""
    task_types: Sequence[str] = ()
    run_ids: Sequence[str] = ()
    """Tasks that run."""
    queues: Sequence[str] = ()
    """Those that are late."""
    unknown: Sequence[str] = ()
    """Task types that no node of their queue knows."""


_HELD = behind(_MOST_HELD_TYPES, MOST_COUNTED)
# By minutes, as ``store.errors.reading`` counts an hour.
_GROUPS = f"""
        SELECT * FROM (
            SELECT g.id, g.task_type, g.error_type, g.message, g.blamed, n.is_new, n.is_back, c.count,
                row_number() OVER (ORDER BY n.is_new OR n.is_back DESC, c.count DESC, g.id) AS place,
                row_number() OVER (PARTITION BY g.blamed ORDER BY c.count DESC, g.id) AS of_blamed,
                row_number() OVER (PARTITION BY g.task_type ORDER BY c.count DESC, g.id) AS of_type,
                g.first_seen_at, g.changed_at, g.last_seen_at, g.example_task_id,
                left(g.example_message, 500) AS example_message,
                right(g.example_traceback, 4000) AS traceback
            FROM (SELECT error_group, sum(occurrences)::bigint AS count FROM error_count
                WHERE step_seconds = 60 AND since >= now() - interval '1 hour' GROUP BY error_group) AS c
            JOIN error_group g ON g.id = c.error_group CROSS JOIN LATERAL (
                SELECT g.state = 'open' AND g.set_at IS NULL AND g.first_seen_at > now() - interval '1 day' AS is_new,
                    g.state = 'open' AND g.came_back AS is_back) AS n
            WHERE g.occurrences > 0 AND g.state <> 'ignored'
        ) AS ranked
        WHERE place <= {_MOST_ERRORS} OR (of_blamed = 1 AND blamed = ANY(CAST(:blamed AS text[])))
            OR (of_type = 1 AND task_type = ANY(CAST(:task_types AS text[])))
        ORDER BY place"""
_RUNS = """
        SELECT task_type, sum(executions)::bigint AS executions, sum(failed)::bigint AS failed,
            sum(succeeded)::bigint AS succeeded
        FROM (
            SELECT task_type, executions, failed, succeeded FROM task_metrics
                WHERE minute > now() - interval '15 minutes' AND task_type = ANY(CAST(:task_types AS text[]))
            UNION ALL SELECT task_type, executions, failed, succeeded FROM task_metrics_delta
                WHERE minute > now() - interval '15 minutes' AND task_type = ANY(CAST(:task_types AS text[]))
        ) AS counted GROUP BY task_type"""
# A version of those that are there already, or a type that was not; those of one start together.
_VERSIONS = f"""
        SELECT min(first_published_at) AS at,
            coalesce((array_agg(name ORDER BY name) FILTER (WHERE NOT is_first))[1:20], '{{}}') AS task_types,
            count(*) FILTER (WHERE NOT is_first)::int AS new_versions,
            coalesce((array_agg(name ORDER BY name) FILTER (WHERE is_first))[1:20], '{{}}') AS new_types,
            count(*) FILTER (WHERE is_first)::int AS new_types_in_all
        FROM (
            SELECT t.name, t.first_published_at, NOT EXISTS (SELECT FROM task_type o
                WHERE o.name = t.name AND o.first_published_at < t.first_published_at) AS is_first
            FROM task_type t WHERE t.first_published_at > now() - interval '1 day'
        ) AS fresh GROUP BY date_bin('10 seconds', first_published_at, timestamptz '2000-01-01 00:00+00')
        ORDER BY 1 DESC LIMIT {_MOST_CHANGES}"""
_RUNNING = "SELECT id, task_type, started_at, progress FROM task_live WHERE id = ANY(CAST(:run_ids AS uuid[]))"
_WAITS = f"""
        SELECT q.queue, s.looked_at, s.task_type, s.of_type, g.tag, coalesce(g.tagged, 0) AS tagged,
            s.submitted_from, s.submitted_to
        FROM unnest(CAST(:queues AS text[])) AS q (queue)
        CROSS JOIN LATERAL (
            SELECT count(*)::int AS looked_at, mode() WITHIN GROUP (ORDER BY t.task_type) AS task_type,
                min(t.submitted_at) AS submitted_from, max(t.submitted_at) AS submitted_to,
                array_agg(t.task_type) AS types, array_agg(t.tags) AS tags
            FROM (
                SELECT w.task_type, w.tags, w.submitted_at
                FROM generate_series(0, {MAX_PRIORITY}) AS p (priority) CROSS JOIN LATERAL (
                    SELECT t.task_type, t.tags, t.submitted_at FROM task_live t
                    WHERE t.place = 'waiting' AND t.queue = q.queue AND t.priority = p.priority
                    ORDER BY t.due_at LIMIT {_SAMPLED}) AS w LIMIT {_SAMPLED}
            ) AS t
        ) AS first_ones
        CROSS JOIN LATERAL (SELECT first_ones.looked_at, first_ones.task_type, first_ones.submitted_from,
            first_ones.submitted_to, (SELECT count(*)::int FROM unnest(first_ones.types) AS u (name)
                WHERE u.name = first_ones.task_type) AS of_type) AS s
        LEFT JOIN LATERAL (
            SELECT e.key || ':' || e.value AS tag, count(*)::int AS tagged
            FROM unnest(first_ones.tags) AS u (tags) CROSS JOIN LATERAL jsonb_each_text(u.tags) AS e (key, value)
            GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1
        ) AS g ON true
        WHERE s.looked_at > 0"""
_FLOW = """
        SELECT queue, extract(epoch FROM now() - s.since)::float8 AS seconds, sum(submitted)::bigint AS submitted,
            sum(executions - native)::bigint AS executions
        FROM (SELECT date_trunc('minute', now() - interval '5 minutes') AS since) AS s CROSS JOIN LATERAL (
            SELECT queue, submitted, executions, native FROM task_metrics WHERE minute >= s.since
            UNION ALL SELECT queue, submitted, executions, native FROM task_metrics_delta WHERE minute >= s.since
        ) AS counted GROUP BY 1, 2"""
_BY_MINUTE = f"""
        SELECT queue, figure, round(extract(epoch FROM date_trunc('minute', now()) - at) / 60)::int AS ago,
            total / samples AS rate
        FROM queue_metrics WHERE step_seconds = 60 AND figure IN ('arrival_rate', 'service_rate') AND samples > 0
            AND at >= date_trunc('minute', now()) - interval '{_MINUTES} minutes'"""
_PUBLISHERS = """
        SELECT u.name AS task_type, w.name, w.last_seen_at, coalesce(w.published_at, t.at) AS published_at
        FROM unnest(CAST(:unknown AS text[])) AS u (name)
        LEFT JOIN LATERAL (
            SELECT p.name, p.last_seen_at, c.published_at FROM worker_catalogue c LEFT JOIN worker p USING (owner)
            WHERE c.content_hashes && ARRAY(SELECT content_hash FROM task_type WHERE name = u.name)
            ORDER BY c.published_at DESC LIMIT 1
        ) AS w ON true
        LEFT JOIN LATERAL (SELECT max(last_published_at) AS at FROM task_type WHERE name = u.name) AS t ON true
        WHERE coalesce(w.published_at, t.at) IS NOT NULL"""
# Each by its primary key, of a dozen entries; the cast is made of ids alone.
_CHANGES = f"""
        SELECT a.at, a.act, a.subject, a.actor, a.reason, {audit.ABOUT} AS about
        FROM ({audit.NEWEST.format(most=_MOST_CHANGES)}) AS a ORDER BY a.at DESC"""
_AROUND = text(
    together(
        {
            "held": _HELD,
            "groups": _GROUPS,
            "runs": _RUNS,
            "versions": _VERSIONS,
            "changes": _CHANGES,
            "running": _RUNNING,
            "waits": _WAITS,
            "flow": _FLOW,
            "minutes": _BY_MINUTE,
            "publishers": _PUBLISHERS,
        }
    )
)
_AROUNDS = TypeAdapter(Around)


async def around(connection: Connection, asked: Asked) -> Around:
    """Ask about these."""
    parameters = {
        "reasons": list(asked.reasons),
        "blamed": list(asked.blamed),
        "task_types": list(asked.task_types),
        "run_ids": list(asked.run_ids[:_MOST_RUNS]),
        "queues": list(asked.queues),
        "unknown": list(asked.unknown),
    }
    found = (await connection.execute(_AROUND, parameters)).one()
    return _AROUNDS.validate_json(whole(found))
