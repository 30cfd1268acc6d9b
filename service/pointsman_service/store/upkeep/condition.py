"""How the database server itself is: what it is set to, who uses it, and whether it keeps up with its own upkeep."""

import time
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text

from pointsman_service.store.store import Connection
from pointsman_service.store.upkeep.partitions import PARTITION_PREFIX

LONG_SECONDS = 60.0
"""A transaction older than this is long: what was deleted since it began cannot be cleared away."""
_MOST_LONG = 5


@dataclass(frozen=True, slots=True)
class ServerCondition:
    """The server as one look shows it."""

    version: int
    """As ``server_version_num``: 180001 is 18.1."""
    is_standby: bool
    read_only: bool
    fsync: bool
    full_page_writes: bool
    synchronous_commit: str
    autovacuum: bool
    """Whether it runs, with the statistics that it needs."""
    connections: int
    """Of clients, to any database."""
    ours: int
    """Those of them that a process of the control plane has to this database."""
    most_connections: int
    """What is reserved for administrators left out."""
    transaction_age: int
    """Transactions since the oldest row of this database was frozen."""
    multixact_age: int
    freeze_age: int
    """From how many on autovacuum freezes, whatever else it does."""
    pid: int
    """Of the process that answered, on the server's machine. It works in the directory of the server's data."""
    started_at: float
    """Unix seconds."""
    ahead_seconds: float
    """How far its clock is ahead of this machine's."""
    unsure_seconds: float
    """The clock was asked over a way that takes so long: the difference may be off by as much."""


@dataclass(frozen=True, slots=True)
class LongTransaction:
    """One that has been open for long."""

    pid: int
    application: str
    """What it calls itself; empty when our account may not know."""
    state: str
    seconds: float


@dataclass(frozen=True, slots=True)
class UpkeepCondition:
    """What stands for itself and grows."""

    today: date
    newest_day: date | None
    """The last day that has a partition."""
    live_rows: int
    """Of the table of unfinished tasks, as PostgreSQL estimates it."""
    dead_rows: int
    vacuumed_at: datetime | None
    """When it was last vacuumed, by whomever."""
    bytes: int
    """Of the whole database."""
    long_transactions: tuple[LongTransaction, ...]


_SERVER = text("""
    SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS is_standby,
        current_setting('default_transaction_read_only')::bool AS read_only, current_setting('fsync')::bool AS fsync,
        current_setting('full_page_writes')::bool AS full_page_writes,
        current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('autovacuum')::bool AND current_setting('track_counts')::bool AS autovacuum,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int AS connections,
        (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND application_name LIKE 'pointsman %')::int AS ours,
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0) AS most_connections,
        age(d.datfrozenxid) AS transaction_age, mxid_age(d.datminmxid) AS multixact_age,
        current_setting('autovacuum_freeze_max_age')::int AS freeze_age,
        pg_backend_pid() AS pid,
        extract(epoch FROM pg_postmaster_start_time())::float8 AS started_at,
        extract(epoch FROM clock_timestamp())::float8 AS now
    FROM pg_database d WHERE d.datname = current_database()
""")
_LONG = text(f"""
    SELECT pid, coalesce(application_name, '') AS application, coalesce(state, '') AS state,
        extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
        AND xact_start < clock_timestamp() - CAST(:long AS float8) * interval '1 second'
    ORDER BY xact_start LIMIT {_MOST_LONG}
""")
_UPKEEP = text("""
    SELECT (now() AT TIME ZONE 'UTC')::date AS today,
        (SELECT max(c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = to_regclass('task') AND starts_with(c.relname, :prefix)) AS newest,
        coalesce(s.n_live_tup, 0) AS live_rows, coalesce(s.n_dead_tup, 0) AS dead_rows,
        greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at, pg_database_size(current_database()) AS bytes
    FROM (SELECT) AS one LEFT JOIN pg_stat_all_tables s ON s.relid = to_regclass('task_live')
""")


async def server_condition(connection: Connection) -> ServerCondition:
    """The server, and its clock beside this machine's."""
    asked_at = time.time()
    found = dict((await connection.execute(_SERVER)).mappings().one())
    answered_at = time.time()
    ahead = found.pop("now") - (asked_at + answered_at) / 2
    return ServerCondition(**found, ahead_seconds=ahead, unsure_seconds=(answered_at - asked_at) / 2)


async def upkeep_condition(connection: Connection, long_seconds: float = LONG_SECONDS) -> UpkeepCondition:
    """Partitions, dead rows, size, and transactions that have been open for ``long_seconds``."""
    found = (await connection.execute(_UPKEEP, {"prefix": PARTITION_PREFIX})).one()
    newest = None if found.newest is None else found.newest.removeprefix(PARTITION_PREFIX)
    return UpkeepCondition(
        today=found.today,
        newest_day=None if newest is None else date.fromisoformat(f"{newest[:4]}-{newest[4:6]}-{newest[6:]}"),
        live_rows=found.live_rows,
        dead_rows=found.dead_rows,
        vacuumed_at=found.vacuumed_at,
        bytes=found.bytes,
        long_transactions=tuple(
            LongTransaction(*row) for row in await connection.execute(_LONG, {"long": long_seconds})
        ),
    )
