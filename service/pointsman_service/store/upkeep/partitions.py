"""Partitions of the finished tasks: one a day (UTC), by the time in the UUIDv7 id."""

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

DAYS_AHEAD = 7
PARTITION_PREFIX = "task_day_"

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('pointsman partitions'))")
_TODAY = text("SELECT (now() AT TIME ZONE 'UTC')::date")
# NULL when there is none, without an error that would end the transaction.
_THERE = text("SELECT to_regclass(:name)")


def lowest_id(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment (RFC 9562: the first 48 bits are Unix milliseconds)."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def partition_name(day: date) -> str:
    """The name of the table of one day."""
    return f"{PARTITION_PREFIX}{day:%Y%m%d}"


async def lock_partitions(connection: AsyncConnection) -> None:
    """Until the transaction ends, nobody else makes or drops partitions."""
    await connection.execute(_LOCK)


async def ensure_partitions(connection: AsyncConnection, days_ahead: int = DAYS_AHEAD) -> list[str]:
    """Make the partitions of today and of the next days that are missing, and return their names.

    Rows that the DEFAULT partition took meanwhile move into them. Run inside a transaction.
    """
    await lock_partitions(connection)
    today = (await connection.execute(_TODAY)).scalar_one()
    made = []
    for day in (today + timedelta(days=ahead) for ahead in range(days_ahead + 1)):
        name = partition_name(day)
        if not await is_there(connection, name):
            for statement in making(name, day):
                await connection.execute(statement)
            made.append(name)
    return made


async def is_there(connection: AsyncConnection, name: str) -> bool:
    """Whether there is a table of this name."""
    return (await connection.execute(_THERE, {"name": name})).scalar_one() is not None


def making(name: str, day: date) -> tuple[TextClause, ...]:
    """What makes the partition of a day, in order. A row that the DEFAULT partition holds must have left it before."""
    start = datetime.combine(day, time.min, UTC)
    low, high = lowest_id(start), lowest_id(start + timedelta(days=1))
    # Names and bounds are ours: DDL takes no parameters.
    bounds = f"id >= '{low}' AND id < '{high}'"
    return (
        text(f"CREATE TABLE {name} (LIKE task INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"),
        text("LOCK TABLE task_default IN ACCESS EXCLUSIVE MODE"),
        text(
            f"WITH moved AS (DELETE FROM task_default WHERE {bounds} RETURNING *)"
            f" INSERT INTO {name} SELECT * FROM moved"
        ),
        text(f"ALTER TABLE task ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')"),
    )
