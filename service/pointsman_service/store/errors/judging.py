"""What somebody says of an error group: that it is mended, or need not be told, or is to be looked at after all."""

from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from pointsman_service.failures.standing import GroupState
from pointsman_service.store import changes
from pointsman_service.store.changes import Topic
from pointsman_service.store.store import Connection

_LOCK = text("SELECT state FROM error_group WHERE id = CAST(:id AS uuid) AND occurrences > 0 FOR UPDATE")
_SET = text("""
    UPDATE error_group g SET state = :state, changed_at = now(), news_at = NULL, came_back = false, set_at = now(),
        set_by = :actor, set_reason = :reason, ignored_until = :until, ignored_per_hour = :per_hour,
        ignored_count = :count, ignored_from = CASE WHEN CAST(:count AS bigint) IS NOT NULL THEN g.occurrences
            + (SELECT coalesce(sum(d.occurrences), 0) FROM error_delta d WHERE d.error_group = g.id) END
    WHERE g.id = CAST(:id AS uuid)
""")
_REMEMBER = text("""
    INSERT INTO error_group_change (error_group, before, after, actor, reason)
    VALUES (CAST(:id AS uuid), :before, :after, :actor, :reason)
""")


@dataclass(frozen=True, slots=True)
class IgnoreLimit:
    """What ends that a group is ignored; None: not that."""

    until: datetime | None = None
    per_hour: int | None = None
    """More within an hour."""
    count: int | None = None
    """More from now on."""


async def set_state(
    connection: Connection,
    group_id: UUID,
    state: GroupState,
    actor: str,
    reason: str | None,
    limit: IgnoreLimit | None = None,
) -> GroupState | None:
    """Set the state of a group, and keep who did and why; in a transaction. What it was; None: there is no such group.

    A group that is so already stays as it is, but for one that is ignored: it gets the new limit.
    """
    before = (await connection.execute(_LOCK, {"id": group_id})).scalar_one_or_none()
    if before is None:
        return None
    found = GroupState(before)
    if found is state and state is not GroupState.IGNORED:
        return found
    said = {"id": group_id, "actor": actor, "reason": reason}
    await connection.execute(_SET, said | {"state": str(state)} | asdict(limit or IgnoreLimit()))
    await connection.execute(_REMEMBER, said | {"before": before, "after": str(state)})
    await changes.tell(connection, Topic.ERRORS)
    return found
