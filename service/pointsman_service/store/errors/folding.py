"""Deltas of groups become their sums, by minute, hour and day; and what becomes of a group by it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from pointsman_service.failures.standing import GroupState, Standing, opens_again
from pointsman_service.store import changes
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.changes import Topic
from pointsman_service.store.store import Connection

MINUTE, HOUR, DAY = 60, 3600, 86_400
STEPS = (MINUTE, HOUR, DAY)
MOST_RECENT = 10
"""Tasks that a group names."""
ITSELF = "pointsman"
"""Who changed the state of a group that came back."""

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('pointsman errors'))")
# Deltas that are inserted meanwhile have higher ids, or are not seen yet: they stay for the next pass.
_TAKE = text("""
    DELETE FROM error_delta WHERE id IN (SELECT id FROM error_delta ORDER BY id LIMIT :most)
    RETURNING error_group, queue, minute, occurrences, tasks, last_seen_at, example_task_id, example_attempt
""")
_COUNT = {
    "error_group": "uuid",
    "step_seconds": "integer",
    "since": "timestamptz",
    "queue": "text",
    "occurrences": "bigint",
    "tasks": "bigint",
}
_ADD = text(
    f"INSERT INTO error_count AS old ({', '.join(_COUNT)}) SELECT * FROM "
    + array_columns(_COUNT)
    + """
    ON CONFLICT (error_group, step_seconds, since, queue) DO UPDATE SET
        occurrences = old.occurrences + excluded.occurrences, tasks = old.tasks + excluded.tasks
"""
)
_GROUPS = text("""
    SELECT id, state, set_at, ignored_until, ignored_per_hour, ignored_count, ignored_from, occurrences,
        recent_task_ids,
        CASE WHEN ignored_per_hour IS NULL THEN 0 ELSE (
            SELECT coalesce(sum(c.occurrences), 0) FROM error_count c WHERE c.error_group = error_group.id
                AND c.step_seconds = 60 AND c.since > now() - interval '1 hour')::bigint END AS within_the_hour
    FROM error_group WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE
""")
_SUM = {
    "id": "uuid",
    "occurrences": "bigint",
    "tasks": "bigint",
    "last_seen_at": "timestamptz",
    "example_task_id": "uuid",
    "example_attempt": "smallint",
    "recent": "text",
}
# The example is the newest failure, where its rows are there still: an attempt is kept, unless none began.
_SUMS = text(
    """
    UPDATE error_group g SET occurrences = g.occurrences + e.occurrences, tasks = g.tasks + e.tasks,
        last_seen_at = greatest(g.last_seen_at, e.last_seen_at), example_task_id = e.example_task_id,
        example_attempt = e.example_attempt, example_message = coalesce(a.error_message, t.error_message, ''),
        example_traceback = coalesce(a.error_traceback, t.error_traceback, ''),
        recent_task_ids = CAST(string_to_array(e.recent, ',') AS uuid[])
    FROM """
    + array_columns(_SUM, "e")
    + """
    LEFT JOIN LATERAL (SELECT error_message, error_traceback FROM task_attempt
        WHERE task_id = e.example_task_id AND attempt = e.example_attempt) AS a ON true
    LEFT JOIN LATERAL (SELECT error_message, error_traceback FROM task
        WHERE id = e.example_task_id AND a.error_message IS NULL) AS t ON true
    WHERE g.id = e.id
"""
)
_OPEN_AGAIN = text(
    "WITH back AS (UPDATE error_group g SET state = 'open', changed_at = e.at, news_at = e.at, came_back = true FROM "
    + array_columns({"id": "uuid", "at": "timestamptz", "before": "text", "reason": "text"}, "e")
    + """
    WHERE g.id = e.id RETURNING g.id, e.at, e.before, e.reason)
    INSERT INTO error_group_change (error_group, at, before, after, actor, reason)
    SELECT id, at, before, 'open', :actor, reason FROM back ORDER BY id
"""
)


@dataclass(slots=True)
class _Sum:
    occurrences: int = 0
    tasks: int = 0
    newest: Any = None
    recent: list[UUID] = field(default_factory=list)
    """The newest first."""

    def add(self, delta: Any) -> None:
        if delta.example_task_id not in self.recent:
            self.recent = [delta.example_task_id, *self.recent[: MOST_RECENT - 1]]
        self.occurrences += delta.occurrences
        self.tasks += delta.tasks
        if self.newest is None or delta.last_seen_at >= self.newest.last_seen_at:
            self.newest = delta


async def fold(connection: Connection, most: int) -> int:
    """Add up to ``most`` deltas to their groups, and open again what came back. One caller at a time, in a transaction.
    Returns how many deltas it took.
    """
    await connection.execute(_LOCK)
    deltas = sorted((await connection.execute(_TAKE, {"most": most})).all(), key=lambda delta: delta.last_seen_at)
    if not deltas:
        return 0
    counts: defaultdict[tuple[UUID, int, datetime, str], list[int]] = defaultdict(lambda: [0, 0])
    sums: defaultdict[UUID, _Sum] = defaultdict(_Sum)
    for delta in deltas:
        sums[delta.error_group].add(delta)
        for step in STEPS:
            counted = counts[delta.error_group, step, begin_of(delta.minute, step), delta.queue]
            counted[0] += delta.occurrences
            counted[1] += delta.tasks
    rows = [(*key, *counts[key]) for key in sorted(counts)]
    await connection.execute(_ADD, dict(zip(_COUNT, map(list, zip(*rows, strict=True)), strict=True)))
    back = await _back(connection, sums)
    await connection.execute(_SUMS, _columns(sums))
    if back:
        columns = zip(*back, strict=True)
        named: dict[str, object] = dict(zip(("id", "at", "before", "reason"), map(list, columns), strict=True))
        await connection.execute(_OPEN_AGAIN, named | {"actor": ITSELF})
    await changes.tell(connection, Topic.ERRORS)
    return len(deltas)


def begin_of(at: datetime, step_seconds: int) -> datetime:
    """The first moment of the minute, hour or day (UTC) of a moment."""
    return at - timedelta(seconds=at.timestamp() % step_seconds)


async def _back(connection: Connection, sums: Mapping[UUID, _Sum]) -> list[tuple[UUID, datetime, str, str]]:
    found = []
    for row in await connection.execute(_GROUPS, {"ids": sorted(sums)}):
        added = sums[row.id]
        older = [task for task in row.recent_task_ids if task not in added.recent]
        added.recent = [*added.recent, *older][:MOST_RECENT]
        standing = Standing(
            GroupState(row.state),
            row.set_at,
            row.ignored_until,
            row.ignored_per_hour,
            row.ignored_count,
            row.ignored_from,
        )
        at = added.newest.last_seen_at
        why = opens_again(standing, at, row.occurrences + added.occurrences, row.within_the_hour)
        if why is not None:
            found.append((row.id, at.astimezone(UTC), row.state, why))
    return found


def _columns(sums: Mapping[UUID, _Sum]) -> dict[str, object]:
    rows = [
        (
            group,
            added.occurrences,
            added.tasks,
            added.newest.last_seen_at,
            added.newest.example_task_id,
            added.newest.example_attempt,
            ",".join(map(str, added.recent)),
        )
        for group, added in sorted(sums.items())
    ]
    return dict(zip(_SUM, map(list, zip(*rows, strict=True)), strict=True))
