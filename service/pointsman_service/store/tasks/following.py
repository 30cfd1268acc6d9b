"""Tasks as whoever follows them sees them: what moves while they live, and nothing that their author or caller wrote
but how far they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from pointsman_service.store.store import Connection
from pointsman_service.store.tasks.reading import from_live


@dataclass(frozen=True, slots=True)
class FollowedTask:
    """A row of a task, as it was at one moment."""

    id: UUID
    task_type: str
    queue: str
    priority: int
    caller: str
    tags: dict[str, str] | None
    state: str
    attempt: int
    max_attempts: int
    worker: str | None
    submitted_at: datetime
    due_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    queue_wait_seconds: float | None
    run_seconds: float | None
    held_reason: str | None
    cancel_requested_at: datetime | None
    error_type: str | None
    error_group: UUID | None
    progress: str | None
    """JSON text of a ``pointsman_contract.events.Progress``."""


_COLUMNS = tuple(FollowedTask.__dataclass_fields__)
_OF_IDS = "id = ANY(CAST(:ids AS uuid[])) AND id BETWEEN CAST(:lowest AS uuid) AND CAST(:highest AS uuid)"
# In one statement: a task that ends meanwhile is in exactly one of the two. The bounds keep days of others shut.
_FOLLOWED = text(f"""
    SELECT {", ".join(map(from_live, _COLUMNS))} FROM task_live WHERE {_OF_IDS}
    UNION ALL
    SELECT {", ".join(_COLUMNS)} FROM task WHERE {_OF_IDS}
""")


async def tasks(connection: Connection, ids: Sequence[UUID]) -> list[FollowedTask]:
    """The rows of these tasks, as far as they are kept, in no order."""
    if not ids:
        return []
    parameters: dict[str, Any] = {"ids": list(ids), "lowest": min(ids), "highest": max(ids)}
    return [FollowedTask(*row) for row in await connection.execute(_FOLLOWED, parameters)]
