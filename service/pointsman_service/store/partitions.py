"""Partitions of the finished tasks: one a day (UTC), by the time in the UUIDv7 id."""

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

DAYS_AHEAD = 7
PARTITION_PREFIX = "task_day_"


def lowest_id(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment (RFC 9562: the first 48 bits are Unix milliseconds)."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def partition_name(day: date) -> str:
    """The table of one day."""
    return f"{PARTITION_PREFIX}{day:%Y%m%d}"


async def lock_partitions(connection: AsyncConnection) -> None:
    """One process at a time makes or drops partitions; in a transaction."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('pointsman partitions'))"))


async def ensure_partitions(connection: AsyncConnection, days_ahead: int = DAYS_AHEAD) -> list[str]:
    """Make the partitions of today and of the next days that are missing, and return their names.

    Rows that the DEFAULT partition took meanwhile move into them. Run inside a transaction.
    """
    await lock_partitions(connection)
    today = (await connection.execute(text("SELECT (now() AT TIME ZONE 'UTC')::date"))).scalar_one()
    made = []
    for day in (today + timedelta(days=ahead) for ahead in range(days_ahead + 1)):
        name = partition_name(day)
        if (await connection.execute(text("SELECT to_regclass(:name)"), {"name": name})).scalar_one() is None:
            await _make(connection, name, day)
            made.append(name)
    return made


async def _make(connection: AsyncConnection, name: str, day: date) -> None:
    start = datetime.combine(day, time.min, UTC)
    low, high = lowest_id(start), lowest_id(start + timedelta(days=1))
    # Names and bounds are ours: DDL takes no parameters.
    bounds = f"id >= '{low}' AND id < '{high}'"
    await connection.execute(text(f"CREATE TABLE {name} (LIKE task INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
    await connection.execute(text("LOCK TABLE task_default IN ACCESS EXCLUSIVE MODE"))
    await connection.execute(
        text(
            f"WITH moved AS (DELETE FROM task_default WHERE {bounds} RETURNING *)"
            f" INSERT INTO {name} SELECT * FROM moved"
        )
    )
    await connection.execute(text(f"ALTER TABLE task ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')"))
