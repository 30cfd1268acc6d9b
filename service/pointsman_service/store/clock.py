"""The database clock, which all stored times are on."""

from datetime import UTC, datetime

from sqlalchemy import text

from pointsman_service.store.store import Connection

_NOW = text("SELECT extract(epoch FROM clock_timestamp())::float8")


async def now(connection: Connection) -> float:
    """Unix seconds, now."""
    found = await connection.execute(_NOW)
    return float(found.scalar_one())


async def not_later_than_now(connection: Connection, wanted: datetime | None) -> datetime:
    """The wanted moment, or now: what is submitted from now on is before neither."""
    present = datetime.fromtimestamp(await now(connection), UTC)
    return present if wanted is None else min(wanted, present)
