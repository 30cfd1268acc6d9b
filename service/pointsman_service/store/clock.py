"""The database clock, which all stored times are on."""

from sqlalchemy import text

from pointsman_service.store.store import Connection

_NOW = text("SELECT extract(epoch FROM clock_timestamp())::float8")


async def now(connection: Connection) -> float:
    """Unix seconds, now."""
    found = await connection.execute(_NOW)
    return float(found.scalar_one())
