"""Error groups as readers see them. What was recorded is in them as soon as it is folded, within a second or two."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text

from pointsman_service.failures.standing import GroupState
from pointsman_service.store.errors.folding import DAY, HOUR, MINUTE, begin_of
from pointsman_service.store.store import Connection

LONGEST_BY_MINUTE = 2 * HOUR
LONGEST_BY_HOUR = 4 * DAY

_STATE = "CASE WHEN g.state = 'ignored' AND g.ignored_until <= now() THEN 'open' ELSE g.state END"
_SHOWN = f"""g.id, g.task_type, g.error_type, g.message, g.blamed, g.first_seen_at, g.last_seen_at, g.occurrences,
        g.tasks, g.example_task_id, g.example_attempt, g.example_message, {_STATE} AS state, g.changed_at, g.came_back,
        g.news_at, g.set_at, g.set_by, g.set_reason, g.ignored_until, g.ignored_per_hour, g.ignored_count,
        g.ignored_from, now() AS read_at"""
_ONE = text(f"""
    SELECT {_SHOWN}, g.example_traceback, g.recent_task_ids FROM error_group g
    WHERE g.id = CAST(:id AS uuid) AND g.occurrences > 0
""")
_CHANGED = "(extract(epoch FROM g.changed_at) * 1000000)::bigint"
_NEWEST = """
    SELECT {shown}, {changed} AS place FROM error_group g WHERE {where}
    ORDER BY g.changed_at DESC, g.id DESC LIMIT :most
"""
_MOST = """
    WITH counted AS (
        SELECT c.error_group, sum(c.occurrences)::bigint AS place FROM error_count c
        WHERE c.step_seconds = :step AND c.since >= :since{queue} GROUP BY c.error_group
    )
    SELECT {shown}, counted.place FROM error_group g JOIN counted ON counted.error_group = g.id WHERE {where}
    ORDER BY counted.place DESC, g.id DESC LIMIT :most
"""
_COUNTS = text("""
    SELECT c.error_group, c.since, sum(c.occurrences)::bigint AS occurrences, sum(c.tasks)::bigint AS tasks
    FROM error_count c WHERE c.error_group = ANY(CAST(:ids AS uuid[])) AND c.step_seconds = :step
        AND c.since >= :since AND (CAST(:queue AS text) IS NULL OR c.queue = :queue)
    GROUP BY c.error_group, c.since
""")
_CHANGES = text("""
    SELECT at, before, after, actor, reason FROM error_group_change WHERE error_group = CAST(:id AS uuid)
    ORDER BY id DESC LIMIT :most
""")
_TASKS = text("""
    SELECT id, state, queue, attempt, finished_at FROM task WHERE id = ANY(CAST(:ids AS uuid[]))
    UNION ALL SELECT id, state, queue, attempt, NULL FROM task_live WHERE id = ANY(CAST(:ids AS uuid[]))
    ORDER BY id DESC
""")


@dataclass(frozen=True, slots=True)
class GroupFilter:
    """What a list is narrowed to; None means everything."""

    since: datetime
    """Only groups that occurred then or later. The begin of a step."""
    step_seconds: int
    state: GroupState | None = None
    task_type: str | None = None
    error_type: str | None = None
    queue: str | None = None
    blamed: str | None = None
    """The circuit breaker that they count for: ``dependency:smtp``."""
    most_first: bool = False
    """By occurrences since then; otherwise what changed last comes first."""
    after: tuple[int, UUID] | None = None
    """Place and id of the last of the page before."""


@dataclass(frozen=True, slots=True)
class CountRow:
    """What occurred of a group within one step."""

    error_group: UUID
    since: datetime
    occurrences: int
    tasks: int


def step_of(window_seconds: float) -> int:
    """The steps in which a window is counted: a hundred and some at most."""
    if window_seconds <= LONGEST_BY_MINUTE:
        return MINUTE
    return HOUR if window_seconds <= LONGEST_BY_HOUR else DAY


def begin_of_window(now: datetime, window_seconds: float) -> tuple[datetime, int]:
    """When the first step of a window begins, and how long its steps are."""
    step = step_of(window_seconds)
    return begin_of(datetime.fromtimestamp(now.timestamp() - window_seconds, now.tzinfo), step), step


async def page(connection: Connection, wanted: GroupFilter, most: int) -> list[dict[str, Any]]:
    """Groups, with their ``place`` in this order."""
    statement, parameters = page_of(wanted)
    return [dict(row) for row in (await connection.execute(statement, parameters | {"most": most})).mappings()]


def page_of(wanted: GroupFilter) -> tuple[TextClause, dict[str, Any]]:
    """The statement of ``page`` with its parameters."""
    conditions = ["g.occurrences > 0", "g.last_seen_at >= :since"]
    parameters: dict[str, Any] = {"since": wanted.since}
    queue = ""
    for name in ("task_type", "error_type", "blamed"):
        if getattr(wanted, name) is not None:
            conditions.append(f"g.{name} = :{name}")
            parameters[name] = getattr(wanted, name)
    if wanted.state is not None:
        conditions.append(f"{_STATE} = :state")
        parameters["state"] = str(wanted.state)
    if wanted.queue is not None:
        queue = " AND c.queue = :queue"
        parameters["queue"] = wanted.queue
    if wanted.after is not None:
        parameters["place"], parameters["after"] = wanted.after
    if wanted.most_first:
        parameters["step"] = wanted.step_seconds
        if wanted.after is not None:
            conditions.append("(counted.place, g.id) < (CAST(:place AS bigint), CAST(:after AS uuid))")
        return text(_MOST.format(shown=_SHOWN, where=" AND ".join(conditions), queue=queue)), parameters
    if queue:
        parameters["step"] = wanted.step_seconds
        conditions.append(
            "EXISTS (SELECT FROM error_count c WHERE c.error_group = g.id AND c.step_seconds = :step"
            f" AND c.since >= :since{queue})"
        )
    if wanted.after is not None:
        # As the index has them: a whole number of microseconds is told exactly so.
        conditions.append(
            "(g.changed_at, g.id) < (to_timestamp(0) + CAST(:place AS bigint) * interval '1 microsecond',"
            " CAST(:after AS uuid))"
        )
    return text(_NEWEST.format(shown=_SHOWN, changed=_CHANGED, where=" AND ".join(conditions))), parameters


async def counts(
    connection: Connection, ids: Sequence[UUID], since: datetime, step_seconds: int, queue: str | None = None
) -> list[CountRow]:
    """What occurred of these groups since the begin of a step, by steps; of one queue, or of all."""
    if not ids:
        return []
    parameters = {"ids": list(ids), "since": since, "step": step_seconds, "queue": queue}
    return [CountRow(*row) for row in await connection.execute(_COUNTS, parameters)]


async def find(connection: Connection, group_id: UUID) -> dict[str, Any] | None:
    """One group, with the traceback of its example and the ids of some of its newest tasks; None: there is none."""
    row = (await connection.execute(_ONE, {"id": group_id})).mappings().one_or_none()
    return None if row is None else dict(row)


async def changes(connection: Connection, group_id: UUID, most: int) -> list[dict[str, Any]]:
    """How the state of a group changed, the newest first."""
    return [dict(row) for row in (await connection.execute(_CHANGES, {"id": group_id, "most": most})).mappings()]


async def tasks(connection: Connection, ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Those of these tasks that are kept, the newest first, with their state."""
    return [dict(row) for row in (await connection.execute(_TASKS, {"ids": list(ids)})).mappings()]
