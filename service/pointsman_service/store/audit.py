"""What was changed by whom: an entry for each act, in its transaction."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from pointsman_service.store.models.audit import IS_OF_ONE_TASK
from pointsman_service.store.store import Connection

_ADD = text("INSERT INTO audit (act, subject, actor, caller, reason) VALUES (:act, :subject, :actor, :caller, :reason)")
NEWEST = f"""
    SELECT at, act, subject, actor, reason FROM audit
    WHERE at > now() - interval '1 day' AND NOT ({IS_OF_ONE_TASK}) ORDER BY at DESC LIMIT {{most}}
"""
"""SQL: the newest entries of a day but those of one task, as ``Entry``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One act."""

    at: datetime
    act: str
    subject: str
    actor: str
    reason: str | None


async def add(connection: Connection, act: str, subject: str, actor: str, caller: str, reason: str | None) -> None:
    """Write down an act, in its transaction."""
    parameters = {"act": act, "subject": subject, "actor": actor, "caller": caller, "reason": reason}
    await connection.execute(_ADD, parameters)
