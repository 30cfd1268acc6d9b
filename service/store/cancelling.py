"""Requests to cancel, kept in the row until they are done."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from service.store.store import Connection

_REQUEST = text("""
    UPDATE task_live SET cancel_requested_at = coalesce(cancel_requested_at, now()) WHERE id = CAST(:id AS uuid)
    RETURNING place <> 'sent' AND dispatch = 0 AS never_sent, state = 'running' AS running, attempt
""")

_OPEN = text("""
    SELECT id, attempt, place <> 'sent' AND dispatch = 0 AS never_sent FROM task_live
    WHERE cancel_requested_at IS NOT NULL AND state <> 'running' ORDER BY id LIMIT :most
""")


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """A task as the request found it."""

    never_sent: bool
    """Whether no message of it can be about."""
    running: bool
    attempt: int


async def request(connection: Connection, task_id: UUID) -> CancelRequest | None:
    """Note that an unfinished task is to be cancelled; None when there is none of this id."""
    row = (await connection.execute(_REQUEST, {"id": task_id})).one_or_none()
    return None if row is None else CancelRequest(row.never_sent, row.running, row.attempt)


async def open_requests(connection: Connection, most: int) -> tuple[list[str], dict[str, int]]:
    """Tasks to be cancelled that do not run: those never sent, and those that once were, with their attempt."""
    rows = (await connection.execute(_OPEN, {"most": most})).all()
    return [str(row.id) for row in rows if row.never_sent], {
        str(row.id): row.attempt for row in rows if not row.never_sent
    }
