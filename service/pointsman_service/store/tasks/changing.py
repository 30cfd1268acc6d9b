"""Changes of a task that waits in PostgreSQL: its queue, its priority, when it is due."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from pointsman_service.store.changes import told
from pointsman_service.store.queues.holding import QUARANTINE, held_until
from pointsman_service.store.store import Connection

_NEW = (
    "greatest(now(), coalesce(CAST(:due_at AS timestamptz),"
    " now() + CAST(:delay_seconds AS float8) * interval '1 second'))"
)
_MOVED = "(CAST(:due_at AS timestamptz) IS NOT NULL OR CAST(:delay_seconds AS float8) IS NOT NULL)"
_LATER = f"({_MOVED} AND {_NEW} > now())"
_NOW = f"({_MOVED} AND NOT {_LATER} AND t.place = 'asleep')"
# What was sent may start at any moment, and what is alone in quarantine keeps its queue empty for it. One that began an
# attempt before waits for the next one.
_CHANGE = text(f"""
    WITH changed AS (UPDATE task_live t SET queue = coalesce(CAST(:queue AS text), t.queue),
        sla_seconds = coalesce(CAST(:sla_seconds AS real), t.sla_seconds),
        priority = coalesce(CAST(:priority AS smallint), t.priority),
        due_at = CASE WHEN {_MOVED} THEN {_NEW} ELSE t.due_at END,
        scheduled_at = CASE WHEN {_LATER} THEN {_NEW} WHEN {_MOVED} THEN NULL ELSE t.scheduled_at END,
        delay_seconds = CASE WHEN {_MOVED} THEN NULL ELSE t.delay_seconds END,
        held_wait_seconds = CASE WHEN {_MOVED} THEN 0 ELSE t.held_wait_seconds END,
        held_seconds = t.held_seconds + CASE WHEN {_LATER} THEN {held_until("now()")} ELSE 0 END,
        held_reason = CASE WHEN {_LATER} THEN NULL ELSE t.held_reason END,
        held_at = CASE WHEN {_LATER} THEN NULL ELSE t.held_at END,
        state = CASE WHEN {_LATER} AND (t.attempt = 0 OR t.state = 'scheduled') THEN 'scheduled'
            WHEN {_LATER} THEN 'retrying' WHEN {_NOW} THEN 'queued' ELSE t.state END,
        place = CASE WHEN {_LATER} THEN 'asleep' WHEN {_NOW} THEN 'waiting' ELSE t.place END
    WHERE id = CAST(:id AS uuid) AND t.place <> 'sent' AND t.cancel_requested_at IS NULL
        AND t.held_reason IS DISTINCT FROM '{QUARANTINE}'
        AND NOT EXISTS (SELECT FROM quarantine_queue q WHERE q.task_id = t.id)
        AND (NOT {_LATER} OR t.expires_at IS NULL OR t.expires_at > {_NEW})
    RETURNING t.id), {told("changed")}
    SELECT count(*) FROM changed
""")


_PLACE = text("SELECT state, queue, priority, due_at FROM task_live WHERE id = CAST(:id AS uuid) FOR UPDATE")


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a task; None: it stays."""

    queue: str | None = None
    sla_seconds: float | None = None
    """The target of the new queue."""
    priority: int | None = None
    due_at: datetime | None = None
    """Then, or now where that is past."""
    delay_seconds: float | None = None
    """So long from now."""


async def place_of(connection: Connection, task_id: UUID | str) -> dict[str, Any] | None:
    """What a change may change of an unfinished task, which is locked from now on; None: there is none."""
    row = (await connection.execute(_PLACE, {"id": task_id})).mappings().one_or_none()
    return None if row is None else {**row, "due_at": row["due_at"].isoformat()}


async def change(connection: Connection, task_id: UUID | str, change: Change) -> bool:
    """Change a task that waits in PostgreSQL, and say whether it was one, is not to be cancelled, is in no quarantine,
    and does not expire before it would be due.
    """
    return int((await connection.execute(_CHANGE, {"id": task_id} | asdict(change))).scalar_one()) == 1
