"""Epochs of Redis data, and how far the recorder has read their streams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from pointsman_service.store.metrics import counters
from pointsman_service.store.metrics.counters import Tallies
from pointsman_service.store.store import Connection

FIRST_ID = "0-0"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch. ``opened_at`` is None while its census runs, and so is ``open_seconds``, which counts from then;
    ``age_seconds`` counts from its declaration.
    """

    epoch: int
    run_id: str
    opened_at: datetime | None
    age_seconds: float
    open_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the recorder is."""

    at: float
    """Unix seconds of the database, from before this was so."""
    epoch: int | None
    """The newest one."""
    positions: Mapping[str, str]
    """The last id read of each stream not yet left behind."""


_CURRENT = text("""
    SELECT epoch, run_id, opened_at, extract(epoch FROM clock_timestamp() - declared_at)::float8 AS age_seconds,
        extract(epoch FROM clock_timestamp() - opened_at)::float8 AS open_seconds
    FROM broker_epoch ORDER BY epoch DESC LIMIT 1
""")
_AFTER = text("SELECT min(epoch) FROM broker_epoch WHERE epoch > :epoch")
_DECLARE = text("INSERT INTO broker_epoch (epoch, run_id) VALUES (:epoch, :run_id) ON CONFLICT DO NOTHING")
_OPEN = text("UPDATE broker_epoch SET opened_at = clock_timestamp() WHERE epoch = :epoch AND opened_at IS NULL")
POSITIONS = text("SELECT stream, last_id FROM recorder_position")
# The statement began before it saw its rows.
_PROGRESS = text("""
    SELECT extract(epoch FROM statement_timestamp())::float8 AS at, (SELECT max(epoch) FROM broker_epoch) AS epoch,
        (SELECT coalesce(jsonb_object_agg(stream, last_id), '{}') FROM recorder_position) AS positions
""")
_RECORDED = text("SELECT extract(epoch FROM clock_timestamp() - max(moved_at))::float8 FROM recorder_position")
_FIRST_POSITION = text("""
    INSERT INTO recorder_position (stream, last_id) VALUES (:stream, :first) ON CONFLICT DO NOTHING
""")
_LEAVE = text("DELETE FROM recorder_position WHERE stream = :stream AND last_id = :last_id")
# Found in whatever order is quickest, then locked in the one that everybody keeps to (``locking``).
_SEND_AGAIN = text("""
    WITH found AS MATERIALIZED (
        SELECT id FROM task_live WHERE place = 'sent' AND state = 'queued' AND sent_epoch < :epoch
            AND NOT id = ANY(CAST(:running AS uuid[]))
        LIMIT :most
    ), part AS (
        SELECT t.id FROM task_live t JOIN found USING (id)
        WHERE t.place = 'sent' AND t.state = 'queued' AND t.sent_epoch < :epoch
        ORDER BY t.id FOR UPDATE OF t
    ), moved AS (
        UPDATE task_live t SET place = 'waiting', uncertain_sendings = least(t.uncertain_sendings + 1, 32767)
        FROM part WHERE t.id = part.id RETURNING t.task_type, t.queue, t.caller
    )
    SELECT task_type, queue, caller, count(*) AS tasks, 0 AS found, now() AS at FROM moved
    GROUP BY task_type, queue, caller
    UNION ALL SELECT '', '', '', 0, count(*), now() FROM found
""")


async def current(connection: Connection) -> Epoch | None:
    """The newest epoch, None before the first."""
    row = (await connection.execute(_CURRENT)).one_or_none()
    return None if row is None else Epoch(row.epoch, row.run_id, row.opened_at, row.age_seconds, row.open_seconds)


async def after(connection: Connection, epoch: int) -> int | None:
    """The epoch that follows this one; None when it is the newest."""
    found: int | None = (await connection.execute(_AFTER, {"epoch": epoch})).scalar_one()
    return found


async def declare(connection: Connection, epoch: int, run_id: str) -> bool:
    """Write a new epoch; False when somebody else wrote that number first."""
    return (await connection.execute(_DECLARE, {"epoch": epoch, "run_id": run_id})).rowcount == 1


async def mark_open(connection: Connection, epoch: int) -> None:
    """The census of this epoch is over."""
    await connection.execute(_OPEN, {"epoch": epoch})


async def positions(connection: Connection) -> dict[str, str]:
    """The last id read of each stream not yet left behind."""
    return {row.stream: row.last_id for row in await connection.execute(POSITIONS)}


async def progress(connection: Connection) -> Progress:
    """The newest epoch and every position, in one question."""
    return Progress(*(await connection.execute(_PROGRESS)).one())


async def recorded_seconds_ago(connection: Connection) -> float | None:
    """Seconds since any position moved; None when there is none."""
    found: float | None = (await connection.execute(_RECORDED)).scalar_one()
    return found


def order(stream_id: str) -> tuple[int, int]:
    """A stream id as two numbers, which compare as the entries follow one another."""
    milliseconds, _, sequence = stream_id.partition("-")
    return int(milliseconds), int(sequence)


async def start_reading(connection: Connection, stream: str) -> None:
    """Begin a stream at its first entry."""
    await connection.execute(_FIRST_POSITION, {"stream": stream, "first": FIRST_ID})


async def leave(connection: Connection, stream: str, last_id: str, following: str) -> None:
    """Go from a stream read to its end to the next; in a transaction."""
    await connection.execute(_LEAVE, {"stream": stream, "last_id": last_id})
    await start_reading(connection, following)


async def send_again(connection: Connection, epoch: int, running: Sequence[str], most: int) -> tuple[int, int]:
    """Up to ``most`` tasks sent before this epoch wait again, but for ``running``; in a transaction. Nobody knows
    whether they had run, which is counted on each and in TaskMetrics. Returns how many were found, and of how many that
    was still so.
    """
    parameters = {"epoch": epoch, "running": list(running), "most": most}
    rows = (await connection.execute(_SEND_AGAIN, parameters)).all()
    tallies = Tallies()
    for row in rows:
        if row.tasks:
            tallies.of(row.task_type, row.queue, row.at, row.caller).counts["uncertain_sendings"] += row.tasks
    await counters.add(connection, tallies)
    return sum(row.found for row in rows), sum(row.tasks for row in rows)
