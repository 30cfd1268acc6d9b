"""What ``/metrics`` tells, in one row, so that every process tells the same and none counts for itself.

The table is not logged: some hundred kilobytes every few seconds are nothing to archive. A crash of the server empties
it, and the next pass fills it again.
"""

from dataclasses import dataclass

from sqlalchemy import text

from pointsman_service.store.store import Connection

_NAME = "metrics"
_NUMBER = text("SELECT coalesce(max(number), 0) FROM exposed_metrics WHERE name = :name")
_READ = text("""
    SELECT number, greatest(0, extract(epoch FROM clock_timestamp() - taken_at))::float8 AS age_seconds,
        greatest(0, extract(epoch FROM clock_timestamp() - counted_at))::float8 AS counted_seconds,
        CASE WHEN number <> :have THEN rising END AS rising, CASE WHEN number <> :have THEN standing END AS standing
    FROM exposed_metrics WHERE name = :name
""")
_WRITE = text("""
    INSERT INTO exposed_metrics AS old (name, number, rising, standing, taken_at, counted_at)
    VALUES (:name,
        greatest(CAST(:after AS bigint) + 1, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)),
        :rising, :standing, clock_timestamp(), clock_timestamp() - CAST(:counted AS float8) * interval '1 second')
    ON CONFLICT (name) DO UPDATE SET number = excluded.number, rising = excluded.rising,
        standing = excluded.standing, taken_at = excluded.taken_at, counted_at = excluded.counted_at
    WHERE old.number = CAST(:after AS bigint)
""")


@dataclass(frozen=True, slots=True)
class Body:
    """One snapshot as Prometheus text."""

    rising: str
    """Counters and histograms."""
    standing: str
    """Gauges: true of the moment at which they were taken."""


@dataclass(frozen=True, slots=True)
class Exposed:
    """The newest snapshot."""

    number: int
    """Rises with every snapshot, also past a crash: the milliseconds of the clock, or more."""
    age_seconds: float
    counted_seconds: float | None
    """Since the counters were summed up; None: they are not known."""
    body: Body | None
    """None: whoever asks has it."""


async def number(connection: Connection) -> int:
    """That of the newest snapshot; 0 when there is none."""
    found: int = (await connection.execute(_NUMBER, {"name": _NAME})).scalar_one()
    return found


async def read(connection: Connection, have: int) -> Exposed | None:
    """The newest snapshot, without its body when that is number ``have``; None when there is none."""
    row = (await connection.execute(_READ, {"name": _NAME, "have": have})).one_or_none()
    if row is None:
        return None
    body = None if row.rising is None else Body(row.rising, row.standing)
    return Exposed(row.number, row.age_seconds, row.counted_seconds, body)


async def write(connection: Connection, body: Body, after: int, counted_seconds: float | None) -> bool:
    """Replace snapshot number ``after``; False, and nothing is done, when another has replaced it meanwhile: what was
    gathered before that must not stand after it.
    """
    given = {
        "name": _NAME,
        "rising": body.rising,
        "standing": body.standing,
        "after": after,
        "counted": counted_seconds,
    }
    return (await connection.execute(_WRITE, given)).rowcount > 0
