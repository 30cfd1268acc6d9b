"""What becomes of a group when the rules change by which failures are told apart: the group that its failures have now
goes on from it. It keeps its first failure and whatever was said of it, and is no news.

Whoever begins a group looks for the one before it, so that no failure has to wait for a pass over all of them.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import text

from pointsman_service.failures.fingerprint import VERSION, group_of, rest_of
from pointsman_service.failures.standing import GroupState
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.errors.folding import ITSELF
from pointsman_service.store.store import Connection

_MOST_LOOKED_AT = 200
"""Groups of a task type, the newest."""
_BEFORE = text("""
    SELECT g.* FROM unnest(CAST(:task_types AS text[])) AS t (task_type) CROSS JOIN LATERAL (
        SELECT id, task_type, error_type, example_message, example_traceback, state, last_seen_at FROM error_group
        WHERE task_type = t.task_type AND version < :version AND occurrences > 0
        ORDER BY first_seen_at DESC LIMIT :most) AS g
""")
# These are found no more. Whoever folds them meanwhile keeps its locks, and they are found once more.
_STAY = text("""
    UPDATE error_group SET version = :version WHERE id IN (
        SELECT id FROM error_group WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
""")
_PAIR = {"id": "uuid", "before": "uuid"}
# What was counted stays with the group before: of a limit in numbers the rest is left.
_CARRY = text(
    """
    UPDATE error_group g SET first_seen_at = least(g.first_seen_at, b.first_seen_at), changed_at = b.changed_at,
        news_at = NULL, came_back = b.came_back, state = b.state, set_at = b.set_at, set_by = b.set_by,
        set_reason = b.set_reason, ignored_until = b.ignored_until, ignored_per_hour = b.ignored_per_hour,
        ignored_count = b.ignored_count, ignored_from = b.ignored_from - b.occurrences
    FROM """
    + array_columns(_PAIR, "p")
    + """
    JOIN error_group b ON b.id = p.before WHERE g.id = p.id
"""
)
_HISTORY = text(
    """
    INSERT INTO error_group_change (error_group, at, before, after, actor, reason)
    SELECT p.id, c.at, c.before, c.after, c.actor, c.reason FROM """
    + array_columns(_PAIR, "p")
    + """
    CROSS JOIN LATERAL ((
        SELECT id, at, before, after, actor, reason FROM error_group_change WHERE error_group = p.before
        ORDER BY id DESC LIMIT 50
    ) UNION ALL (
        SELECT NULL, now(), state, state, :actor, 'failures are told apart by other rules: it goes on from group ' || id
        FROM error_group WHERE id = p.before
    )) AS c ORDER BY p.id, c.id NULLS LAST
"""
)
_FIRST = (GroupState.OPEN, GroupState.RESOLVED, GroupState.IGNORED)
"""Where several become one, what somebody has to look at is not hidden by what nobody wants to hear of."""


async def carry(connection: Connection, begun: Mapping[UUID, str]) -> None:
    """Let groups that were begun in this transaction (by id, their task type) go on from those before them."""
    if not begun:
        return
    asked = {"task_types": sorted(set(begun.values())), "version": VERSION, "most": _MOST_LOOKED_AT}
    before: dict[UUID, Any] = {}
    same = []
    for row in await connection.execute(_BEFORE, asked):
        now = UUID(group_of(row.task_type, row.error_type, row.example_message, row.example_traceback))
        # What takes the rest has an example that would be of another group, and goes on from none.
        if now == row.id or str(row.id) == rest_of(row.task_type):
            same.append(row.id)
        elif now in begun and (now not in before or _rank(row) < _rank(before[now])):
            before[now] = row
    if same:
        await connection.execute(_STAY, {"ids": same, "version": VERSION})
    if before:
        pairs = {"id": sorted(before), "before": [before[group].id for group in sorted(before)]}
        await connection.execute(_CARRY, pairs)
        await connection.execute(_HISTORY, pairs | {"actor": ITSELF})


def _rank(row: Any) -> tuple[int, float]:
    return _FIRST.index(GroupState(row.state)), -row.last_seen_at.timestamp()
