"""How far the events of each lane were written down, where events are signed."""

from collections.abc import Mapping

from sqlalchemy import text

from pointsman_service.store.arrays import array_columns
from pointsman_service.store.store import Connection

_PASS = text(
    "INSERT INTO event_lane AS old (lane, number) SELECT lane, number FROM "
    + array_columns({"lane": "text", "number": "bigint"})
    + """
    ON CONFLICT (lane) DO UPDATE SET number = greatest(old.number, excluded.number), seen_at = now()
"""
)
_PASSED = text("SELECT lane, number FROM event_lane")
_FORGET = text("DELETE FROM event_lane WHERE seen_at < now() - CAST(:days AS float8) * interval '1 day'")


async def pass_(connection: Connection, lanes: Mapping[str, int]) -> None:
    """Say how far these lanes were written down, in the transaction that writes their events."""
    if lanes:
        found = sorted(lanes)
        await connection.execute(_PASS, {"lane": found, "number": [lanes[lane] for lane in found]})


async def passed(connection: Connection, days: float) -> dict[str, int]:
    """How far each lane was written down. Those whose last event is older than so many days are forgotten first."""
    await connection.execute(_FORGET, {"days": days})
    return {row.lane: row.number for row in await connection.execute(_PASSED)}
