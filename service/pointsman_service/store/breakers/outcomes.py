"""What attempts came to, by worker, for some minutes: to tell one that fails more than its peers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text

from pointsman_service.store.arrays import array_columns
from pointsman_service.store.store import Connection

BUCKET_SECONDS = 10.0
KEPT_SECONDS = 900.0
"""How long an outcome is kept at least; rows are removed some time after."""
_ROWS_A_PASS = 10_000

Part = tuple[datetime, str, str]
"""Bucket, worker (its owner) and task type."""


@dataclass(slots=True)
class Sum:
    """How many attempts of one part there were, and how many of them failed."""

    calls: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """A part as it is stored, its bucket in Unix seconds."""

    worker: str
    task_type: str
    bucket: float
    calls: int
    failures: int


_COLUMNS = {"bucket": "timestamptz", "worker": "text", "task_type": "text", "calls": "integer", "failures": "integer"}
_ADD = text(
    f"INSERT INTO worker_outcome AS old ({', '.join(_COLUMNS)}) SELECT {', '.join(_COLUMNS)} FROM "
    + array_columns(_COLUMNS)
    + """
    ON CONFLICT (bucket, worker, task_type) DO UPDATE SET
        calls = old.calls + excluded.calls, failures = old.failures + excluded.failures
"""
)
_READ = "SELECT worker, task_type, extract(epoch FROM bucket)::float8, calls, failures FROM worker_outcome"
_WINDOW = text(f"""
    WITH recent AS (
        SELECT * FROM worker_outcome WHERE bucket > now() - CAST(:seconds AS float8) * interval '1 second'
    )
    {_READ.replace("worker_outcome", "recent")}
    WHERE task_type IN (SELECT task_type FROM recent WHERE failures > 0)
""")
_SINCE = text(f"{_READ} WHERE bucket > to_timestamp(:since) - CAST(:bucket AS float8) * interval '1 second'")
_ANY_FAILED = text("""
    SELECT EXISTS (SELECT FROM worker_outcome
        WHERE bucket > now() - CAST(:seconds AS float8) * interval '1 second' AND failures > 0)
""")
# The recorder may be adding to some of them; whoever waits for nobody ends up in no deadlock.
_FORGET = """
    DELETE FROM worker_outcome WHERE (bucket, worker, task_type) IN (
        SELECT bucket, worker, task_type FROM worker_outcome WHERE {which}
        LIMIT :most FOR UPDATE SKIP LOCKED)
"""
_FORGET_OLD = text(_FORGET.format(which="bucket < now() - CAST(:seconds AS float8) * interval '1 second'"))
_FORGET_OF = text(_FORGET.format(which="worker = ANY(CAST(:workers AS text[]))"))


def bucket_of(at: datetime) -> datetime:
    """The first moment of the bucket that holds a moment."""
    return datetime.fromtimestamp(at.timestamp() // BUCKET_SECONDS * BUCKET_SECONDS, UTC)


async def add(connection: Connection, sums: Mapping[Part, Sum]) -> None:
    """Add these sums of attempts to what is stored. One writer at a time: the recorder, in its transaction."""
    if not sums:
        return
    parts = sorted(sums)
    columns: dict[str, object] = {name: [part[at] for part in parts] for at, name in enumerate(list(_COLUMNS)[:3])}
    columns["calls"] = [sums[part].calls for part in parts]
    columns["failures"] = [sums[part].failures for part in parts]
    await connection.execute(_ADD, columns)


async def any_failed(connection: Connection, seconds: float) -> bool:
    """Whether an attempt of anybody failed within the last seconds."""
    found: bool = (await connection.execute(_ANY_FAILED, {"seconds": seconds})).scalar_one()
    return found


async def window(connection: Connection, seconds: float) -> list[OutcomeRow]:
    """Everybody's attempts of the last seconds, of the task types that failed somewhere within them."""
    return [OutcomeRow(*row) for row in await connection.execute(_WINDOW, {"seconds": seconds})]


async def since(connection: Connection, unix_seconds: float) -> list[OutcomeRow]:
    """Everybody's attempts since the bucket that holds a moment."""
    parameters = {"since": unix_seconds, "bucket": BUCKET_SECONDS}
    return [OutcomeRow(*row) for row in await connection.execute(_SINCE, parameters)]


async def forget_of(connection: Connection, workers: list[str]) -> None:
    """Drop what these workers did: they begin anew, and are no measure for others."""
    if workers:
        await connection.execute(_FORGET_OF, {"workers": workers, "most": _ROWS_A_PASS})


async def forget_old(connection: Connection) -> None:
    """Drop up to 10,000 of the rows that nobody looks at any more."""
    await connection.execute(_FORGET_OLD, {"seconds": KEPT_SECONDS, "most": _ROWS_A_PASS})
