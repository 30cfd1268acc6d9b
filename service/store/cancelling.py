"""Requests to cancel, kept in the row until they are done.

One with a grace time also asks a running attempt to end, unless that time is infinite. One without (a purge) is about
tasks that have not started: a start takes it back.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from service.store.store import Connection

_REQUEST = text("""
    UPDATE task_live SET cancel_requested_at = coalesce(cancel_requested_at, now()),
        cancel_grace_seconds = CAST(:grace AS real)
    WHERE id = CAST(:id AS uuid)
    RETURNING place <> 'sent' AND dispatch = 0 AS never_sent, state = 'running' AS running, attempt
""")

_OPEN = """
    SELECT id, attempt, {never_sent} AS never_sent FROM task_live
    WHERE cancel_requested_at IS NOT NULL AND state <> 'running' AND {which} ORDER BY id LIMIT :most
"""
_OPEN_REQUESTS = text(
    "("
    + _OPEN.format(never_sent="true", which="place <> 'sent' AND dispatch = 0")
    + ") UNION ALL ("
    + _OPEN.format(never_sent="false", which="NOT (place <> 'sent' AND dispatch = 0)")
    + ")"
)

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
    running: bool
    attempt: int


async def request(connection: Connection, task_id: UUID, grace_seconds: float) -> CancelRequest | None:
    """Note that an unfinished task is to be cancelled; None when there is none of this id."""
    row = (await connection.execute(_REQUEST, {"id": task_id, "grace": grace_seconds})).one_or_none()
    return None if row is None else CancelRequest(row.never_sent, row.running, row.attempt)


async def open_requests(connection: Connection, most: int) -> tuple[list[str], dict[str, int]]:
    """Tasks to be cancelled that do not run: those never sent, and those that once were, with their attempt. At most
    ``most`` of each.
    """
    rows = (await connection.execute(_OPEN_REQUESTS, {"most": most})).all()
    return [str(row.id) for row in rows if row.never_sent], {
        str(row.id): row.attempt for row in rows if not row.never_sent
    }


async def running_requests(connection: Connection, most: int) -> dict[str, float]:
    """Tasks whose running attempt is to end, with its grace time in seconds; at most ``most``."""
    rows = (await connection.execute(_RUNNING, {"most": most})).all()
    return {str(row.id): row.grace for row in rows}
