"""Requests to cancel, kept in the row until they are done.

One with a grace time also asks a running attempt to end, unless that time is infinite. One without (a purge) is about
tasks that have not started: a start takes it back.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from pointsman_contract.states import TaskState
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.changes import told
from pointsman_service.store.reported import Revoked
from pointsman_service.store.store import Connection

_REQUEST = text(f"""
    WITH asked AS (UPDATE task_live SET cancel_requested_at = coalesce(cancel_requested_at, now()),
        cancel_grace_seconds = CAST(:grace AS real), cancel_requested_by = coalesce(cancel_requested_by, :by)
    WHERE id = CAST(:id AS uuid)
    RETURNING id, place <> 'sent' AND dispatch = 0 AS never_sent, state, attempt
    ), {told("asked")}
    SELECT never_sent, state, attempt FROM asked
""")

# A request for more than this one asks for stays.
_REVOKE = text(
    "UPDATE task_live t SET cancel_requested_at = coalesce(t.cancel_requested_at, now()),"
    " cancel_requested_by = coalesce(t.cancel_requested_by, e.by),"
    " cancel_grace_seconds = least(coalesce(t.cancel_grace_seconds, 'infinity'), e.grace) FROM "
    + array_columns({"id": "uuid", "by": "text", "grace": "real"}, "e")
    + " WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[]))"
)

_OPEN = """
    SELECT id, attempt, {never_sent} AS never_sent FROM task_live
    WHERE cancel_requested_at IS NOT NULL AND state <> 'running' AND {which} ORDER BY id LIMIT :most
"""
# A limit for each kind: those whose claims cannot be closed now must not hide those that need no claim.
_OPEN_REQUESTS = text(
    "("
    + _OPEN.format(never_sent="true", which="place <> 'sent' AND dispatch = 0")
    + ") UNION ALL ("
    + _OPEN.format(never_sent="false", which="NOT (place <> 'sent' AND dispatch = 0)")
    + ")"
)

_SENT_REQUESTS = text("""
    SELECT id, attempt FROM task_live
    WHERE cancel_requested_at IS NOT NULL AND state <> 'running' AND place = 'sent' AND id > CAST(:above AS uuid)
    ORDER BY id LIMIT :most
""")

_RUNNING = text("""
    SELECT id, cancel_grace_seconds AS grace FROM task_live
    WHERE cancel_requested_at IS NOT NULL AND cancel_grace_seconds < 'infinity' AND state = 'running'
    ORDER BY id LIMIT :most
""")


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """A task as the request found it."""

    never_sent: bool
    """Whether no message of it can be about."""
    state: str
    attempt: int

    @property
    def running(self) -> bool:
        """Whether an attempt of it runs."""
        return self.state == TaskState.RUNNING


async def request(connection: Connection, task_id: UUID, grace_seconds: float, by: str) -> CancelRequest | None:
    """Note that an unfinished task is to be cancelled; None when there is none of this id."""
    row = (await connection.execute(_REQUEST, {"id": task_id, "grace": grace_seconds, "by": by})).one_or_none()
    return None if row is None else CancelRequest(row.never_sent, row.state, row.attempt)


async def revoke(connection: Connection, asked: Sequence[Revoked]) -> None:
    """Note what Celery was told to revoke: a task that runs is ended at once, or left alone and followed by no other
    attempt.
    """
    if asked:
        grace = [0.0 if one.kill else math.inf for one in asked]
        columns = {"id": [one.id for one in asked], "by": [one.by for one in asked], "grace": grace}
        await connection.execute(_REVOKE, columns)


async def open_requests(connection: Connection, most: int) -> tuple[list[str], dict[str, int]]:
    """Tasks to be cancelled that do not run: those never sent, and those that once were, with their attempt. At most
    ``most`` of each.
    """
    rows = (await connection.execute(_OPEN_REQUESTS, {"most": most})).all()
    return [str(row.id) for row in rows if row.never_sent], {
        str(row.id): row.attempt for row in rows if not row.never_sent
    }


async def sent_requests(connection: Connection, above: str, most: int) -> dict[str, int]:
    """Tasks to be cancelled whose message is about, with their attempt; ``most`` of those with ids above ``above``."""
    rows = (await connection.execute(_SENT_REQUESTS, {"above": above, "most": most})).all()
    return {str(row.id): row.attempt for row in rows}


async def running_requests(connection: Connection, most: int) -> dict[str, float]:
    """Tasks whose running attempt is to end, with its grace time in seconds; at most ``most``."""
    rows = (await connection.execute(_RUNNING, {"most": most})).all()
    return {str(row.id): row.grace for row in rows}
