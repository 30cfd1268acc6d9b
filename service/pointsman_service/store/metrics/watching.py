"""The system as a whole: workers, and who leads."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from pointsman_service.store.store import Connection


@dataclass(frozen=True, slots=True)
class LeadRow:
    """One lead."""

    left_seconds: float
    """Until it ends unless it is renewed; not above 0 when nobody leads."""
    given_up: bool
    """Whether its holder ended in order."""


WORKERS = text("""
    SELECT owner, name, pool, queues, processes, pid, host, contract, started_at,
        greatest(0, extract(epoch FROM now() - last_seen_at))::float8 AS heartbeat_age_seconds
    FROM worker WHERE last_seen_at > now() - CAST(:seen_within AS float8) * interval '1 second'
    ORDER BY name, started_at
""")

LEADS = text(
    "SELECT name, extract(epoch FROM expires_at - now())::float8 AS left_seconds, holder = '' AS given_up FROM leader"
)

_TASK_TYPES = text("SELECT count(DISTINCT name) FROM task_type")


async def workers(connection: Connection, seen_within_seconds: float) -> list[dict[str, Any]]:
    """Worker parents whose beat was seen lately, with ``heartbeat_age_seconds`` on the database clock."""
    rows = await connection.execute(WORKERS, {"seen_within": seen_within_seconds})
    return [dict(row) for row in rows.mappings()]


async def leads(connection: Connection) -> dict[str, LeadRow]:
    """Every lead that anybody ever had, by name."""
    return {row.name: LeadRow(row.left_seconds, row.given_up) for row in await connection.execute(LEADS)}


async def task_type_count(connection: Connection) -> int:
    """How many task types were ever published."""
    found: int = (await connection.execute(_TASK_TYPES)).scalar_one()
    return found
