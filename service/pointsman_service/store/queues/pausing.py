"""Which queues are paused. A row stays after a resume: its revision tells old news from new."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from pointsman_service.store import changes
from pointsman_service.store.changes import Topic
from pointsman_service.store.store import Connection

_SET = text("""
    INSERT INTO queue_pause AS old (queue, paused, revision, reason, actor)
    VALUES (:queue, :paused, 1, :reason, :actor)
    ON CONFLICT (queue) DO UPDATE SET paused = excluded.paused, revision = old.revision + 1,
        reason = excluded.reason, actor = excluded.actor, changed_at = now()
    RETURNING queue, paused, revision, reason, actor, changed_at
""")
# Of two who pause a queue that never was paused, the second waits here for the first.
_KNOWN = text("""
    INSERT INTO queue_pause (queue, paused, revision, actor) VALUES (:queue, false, 0, :actor) ON CONFLICT DO NOTHING
""")
_LOCK = text("""
    SELECT queue, paused, revision, reason, actor, changed_at FROM queue_pause WHERE queue = :queue FOR UPDATE
""")
ALL = text("SELECT queue, paused, revision, reason, actor, changed_at FROM queue_pause ORDER BY queue")

IS_PAUSED = "EXISTS (SELECT FROM queue_pause p WHERE p.queue = {queue} AND p.paused)"
"""SQL; ``queue`` is what names the queue."""


@dataclass(frozen=True, slots=True)
class QueuePause:
    """How a queue was last paused or resumed."""

    queue: str
    paused: bool
    revision: int
    """Rises with every change."""
    reason: str | None
    actor: str
    changed_at: datetime


async def before_set(connection: Connection, queue: str, actor: str) -> QueuePause:
    """How a queue is paused or not; nobody else changes that until the transaction ends."""
    await connection.execute(_KNOWN, {"queue": queue, "actor": actor})
    return QueuePause(*(await connection.execute(_LOCK, {"queue": queue})).one())


async def set_paused(connection: Connection, queue: str, *, paused: bool, reason: str | None, actor: str) -> QueuePause:
    """Pause or resume a queue."""
    parameters = {"queue": queue, "paused": paused, "reason": reason, "actor": actor}
    pause = QueuePause(*(await connection.execute(_SET, parameters)).one())
    await changes.tell(connection, Topic.QUEUES)
    return pause


async def pauses(connection: Connection) -> list[QueuePause]:
    """Every queue that ever was paused."""
    return [QueuePause(*row) for row in await connection.execute(ALL)]


def words(pauses: Iterable[QueuePause]) -> list[str | int]:
    """What ``pause.lua`` and ``open.lua`` take."""
    return [word for pause in pauses for word in (pause.queue, pause.revision, int(pause.paused))]


def lies(stated: Mapping[str, str], found: Iterable[QueuePause]) -> list[str]:
    """The queues of which Redis says (``<revision>:1`` or ``<revision>:0``) what these pauses, read after it, never
    were.
    """
    known = {pause.queue: pause.revision for pause in found}
    return sorted(queue for queue, text in stated.items() if not _was_said(text, known.get(queue, 0)))


def _was_said(text: str, newest: int) -> bool:
    revision, _, paused = text.partition(":")
    return paused in ("0", "1") and revision.isdecimal() and len(revision) < 20 and int(revision) <= newest
