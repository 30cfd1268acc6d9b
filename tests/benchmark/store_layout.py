"""Measures layouts of the task table under one load, for docs/decisions/0001-store-layout.md.

moved         task_live holds unfinished tasks; a terminal move deletes there and inserts into the partitioned task.
inplace       one unpartitioned table, updated in place.
inplace_days  one table, partitioned by day on the id, updated in place.

Run `python -m tests.benchmark.store_layout [--quick] [--only CASE ...] [--layouts LAYOUT ...]`. It starts a PostgreSQL
of its own, interleaves the layouts, prints every run as one JSON line, and leaves nothing behind. It needs up to 15 GB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # ships no types
import psutil
from uuid_utils.compat import uuid7

from pointsman_service.embedded.postgres import PostgresServer

QUEUES = ["critical", "high_priority", "email", "reports", "external_api", "maintenance"]
TASK_TYPES = [f"demo.task_{n}" for n in range(20)]
DAYS = 10
SUBMIT_ROWS, FINISH_ROWS, UNFINISHED_LIMIT = 200, 300, 5_000
# What the service uses, and the loads here: every plan is made for the values at hand, and the ids stand as an array
# beside the join. BY_INDEX is a trap: planned on a vacuumed, empty table it takes seconds.
CUSTOM = {"plan_cache_mode": "force_custom_plan"}
BY_IDS = "AND t.id = ANY($1)"
BY_HASH = {"enable_nestloop": "off", "enable_mergejoin": "off", "enable_seqscan": "off"}
BY_INDEX = {"enable_hashjoin": "off", "enable_mergejoin": "off", "enable_seqscan": "off"}
SERVER_SETTINGS = {
    "shared_buffers": "1GB",
    "max_wal_size": "2GB",
    "autovacuum_naptime": "10s",
    "max_connections": "40",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}

STATES = "('scheduled','queued','held','running','retrying','succeeded','failed','cancelled','expired')"
LIVE_COLUMNS = """id uuid NOT NULL, task_type text NOT NULL, queue text NOT NULL, priority smallint NOT NULL,
    state text NOT NULL, payload text NOT NULL, tags jsonb, caller text NOT NULL, submitted_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL, scheduled_at timestamptz, expires_at timestamptz, timeout_seconds real,
    max_attempts smallint NOT NULL, attempt smallint NOT NULL DEFAULT 0, dispatch int NOT NULL DEFAULT 0,
    sent_epoch int, started_at timestamptz, worker text"""
END_COLUMNS = """finished_at timestamptz, run_seconds real, queue_wait_seconds real, result text, error_type text,
    error_message text, error_traceback text, sla_met boolean"""
KEPT = """id, task_type, queue, priority, state, payload, tags, caller, submitted_at, due_at, scheduled_at, expires_at,
    timeout_seconds, max_attempts, attempt, dispatch, sent_epoch, started_at, worker, finished_at, run_seconds,
    queue_wait_seconds, result, error_type, error_message, error_traceback, sla_met"""
ENDED = """unnest($1::uuid[], $2::text[], $3::smallint[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
    $8::text[]) AS e(id, state, attempt, finished_at, result, error_type, error_message, error_traceback)"""
END_VALUES = """e.finished_at, extract(epoch FROM e.finished_at - t.started_at)::real,
    extract(epoch FROM t.started_at - t.due_at)::real, e.result, e.error_type, e.error_message,
    e.error_traceback, t.started_at - t.due_at < interval '2 s'"""
FINISH_DELTA = """INSERT INTO metrics_delta (minute, finished, run_seconds)
    SELECT date_trunc('minute', now()), count(*), sum(run_seconds) FROM kept"""
BOUNDS = "AND t.id BETWEEN $9 AND $10"


@dataclass(frozen=True)
class Layout:
    """One candidate: its tables, and the statements that differ between candidates."""

    name: str
    live: str
    history: str
    days: bool
    checks: bool = True
    type_index: bool = True

    @property
    def moves(self) -> bool:
        return self.live != self.history

    def tables(self) -> list[str]:
        checks = f"CHECK (state IN {STATES}), CHECK (priority BETWEEN 0 AND 10), CHECK (attempt >= 0)"
        place = "'asleep','waiting','sent','held'" + ("" if self.moves else ",'done','dead'")
        extra = f", {checks}" if self.checks else ""
        place_check = f", CHECK (place IN ({place}))" if self.checks else ""
        key = ", PRIMARY KEY (id)"
        partition = " PARTITION BY RANGE (id)" if self.days else ""
        if self.moves:
            return [
                f"CREATE TABLE task_live ({LIVE_COLUMNS}, place text NOT NULL{extra}{place_check}{key}) {LIVE_OPTIONS}",
                f"CREATE TABLE task ({LIVE_COLUMNS}, {END_COLUMNS}{extra}{key}){partition}",
            ]
        table = f"CREATE TABLE task ({LIVE_COLUMNS}, {END_COLUMNS}, place text{extra}{place_check}{key}){partition}"
        return [table if self.days else f"{table} WITH ({IN_PLACE_OPTIONS})"]

    def partitions(self) -> list[str]:
        if not self.days:
            return []
        options = "" if self.moves else f" WITH ({IN_PLACE_OPTIONS})"
        made = [f"CREATE TABLE task_default PARTITION OF task DEFAULT{options}"]
        for n, (low, high) in enumerate(day_ranges()):
            made.append(f"CREATE TABLE task_d{n} PARTITION OF task FOR VALUES FROM ('{low}') TO ('{high}'){options}")
        return made

    def indexes(self) -> list[str]:
        open_only = "" if self.moves else " AND place <> 'done'"
        troubled = "state <> 'succeeded'" if self.moves else "place = 'dead'"
        made = [
            f"CREATE INDEX ON {self.live} (queue, priority DESC, due_at, id) WHERE place = 'waiting'",
            f"CREATE INDEX ON {self.live} (due_at) WHERE place = 'asleep'",
            f"CREATE INDEX ON {self.live} (expires_at) WHERE expires_at IS NOT NULL{open_only}",
            f"CREATE INDEX ON task (id) WHERE {troubled}",
        ]
        return made + (["CREATE INDEX ON task (task_type, id)"] if self.type_index else [])

    def submit(self) -> str:
        return f"""WITH accepted AS (INSERT INTO {self.live} (id, task_type, queue, priority, state, place, payload,
            tags, caller, submitted_at, due_at, scheduled_at, expires_at, timeout_seconds, max_attempts)
          SELECT e.id, e.task_type, e.queue, e.priority, e.state, e.place, e.payload, e.tags::jsonb, e.caller, now(),
            coalesce(e.scheduled_at, now()), e.scheduled_at, e.expires_at, e.timeout_seconds, e.max_attempts
          FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::text[],
            $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[], $12::real[], $13::smallint[]) AS e(id,
            task_type, queue, priority, state, place, payload, tags, caller, scheduled_at, expires_at, timeout_seconds,
            max_attempts)
          RETURNING id, submitted_at),
        outbox_row AS (INSERT INTO outbox (first_id, last_id, tasks) VALUES ($14, $15, $16)),
        delta AS (INSERT INTO metrics_delta (minute, submitted) VALUES (date_trunc('minute', now()), $16))
        SELECT id, submitted_at FROM accepted"""

    def running(self) -> str:
        return f"""UPDATE {self.live} t SET state = 'running', attempt = e.attempt, started_at = e.started_at,
            worker = e.worker
          FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[], $4::text[]) AS e(id, attempt, started_at, worker)
          WHERE t.id = e.id {BY_IDS} AND t.attempt < e.attempt
            {"" if self.moves else "AND t.finished_at IS NULL"}
          RETURNING t.id"""

    def end(self, where: str = BY_IDS) -> str:
        """The terminal move. `where` narrows the search beside the join on the id."""
        if self.moves:
            gone = f"""moved AS (DELETE FROM task_live t USING {ENDED}
                WHERE t.id = e.id AND t.attempt <= e.attempt {where}
              RETURNING t.id, t.task_type, t.queue, t.priority, e.state, t.payload, t.tags, t.caller, t.submitted_at,
                t.due_at, t.scheduled_at, t.expires_at, t.timeout_seconds, t.max_attempts, e.attempt, t.dispatch,
                t.sent_epoch, t.started_at, t.worker, {END_VALUES}),
            kept AS (INSERT INTO task ({KEPT}) SELECT * FROM moved RETURNING id, state, run_seconds)"""
        else:
            gone = f"""kept AS (UPDATE task t SET (state, attempt, place, finished_at, run_seconds, queue_wait_seconds,
                result, error_type, error_message, error_traceback, sla_met) = ROW (e.state, e.attempt,
                CASE e.state WHEN 'succeeded' THEN 'done' ELSE 'dead' END, {END_VALUES})
              FROM {ENDED} WHERE t.id = e.id AND t.finished_at IS NULL AND t.attempt <= e.attempt {where}
              RETURNING t.id, t.state, t.run_seconds)"""
        return f"WITH {gone}, delta AS ({FINISH_DELTA}) SELECT id, state FROM kept"

    def send(self) -> str:
        return f"""UPDATE {self.live} t SET place = 'sent', dispatch = t.dispatch + 1, sent_epoch = 1
          FROM (SELECT id FROM {self.live} WHERE queue = $1 AND place = 'waiting'
                ORDER BY priority DESC, due_at, id LIMIT 200 FOR UPDATE SKIP LOCKED) w
          WHERE t.id = w.id RETURNING t.id"""

    def wake(self) -> str:
        return f"""UPDATE {self.live} SET place = 'waiting', state = 'queued' WHERE id IN (SELECT id FROM {self.live}
          WHERE place = 'asleep' AND due_at <= now() LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING id"""

    def reads(self) -> dict[str, str]:
        shown = "id, task_type, queue, state, submitted_at"
        both = f"""(SELECT {shown} FROM task_live WHERE id < $1 ORDER BY id DESC LIMIT 50) UNION ALL
            (SELECT {shown} FROM task WHERE id < $1 ORDER BY id DESC LIMIT 50) ORDER BY id DESC LIMIT 50"""
        one = f"SELECT {shown} FROM task WHERE id < $1 ORDER BY id DESC LIMIT 50"
        troubled = "state <> 'succeeded'" if self.moves else "place = 'dead'"
        found = "SELECT id, state FROM task WHERE id = $1"
        return {
            "newest": both if self.moves else one,
            "failed": f"SELECT {shown} FROM task WHERE id < $1 AND state = 'failed' AND {troubled}"
            " ORDER BY id DESC LIMIT 50",
            "lookup": f"SELECT id, state FROM task_live WHERE id = $1 UNION ALL {found}" if self.moves else found,
        }


LIVE_OPTIONS = (
    "WITH (fillfactor=70, autovacuum_vacuum_scale_factor=0.02, autovacuum_vacuum_threshold=5000,"
    " autovacuum_vacuum_insert_threshold=-1, autovacuum_vacuum_cost_delay=0, vacuum_truncate=false)"
)
IN_PLACE_OPTIONS = (
    "fillfactor=80, autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=5000,"
    " autovacuum_vacuum_insert_threshold=-1, autovacuum_vacuum_cost_delay=0"
)
BESIDE = [
    "CREATE TABLE outbox (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, first_id uuid, last_id uuid, tasks int)",
    """CREATE TABLE metrics_delta (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, minute timestamptz,
        submitted int, finished int, run_seconds real)""",
    "CREATE TABLE recorder_position (stream text PRIMARY KEY, last_id bigint)",
    "INSERT INTO recorder_position VALUES ('events', 0)",
]
MOVED = Layout("moved", "task_live", "task", days=True)
IN_PLACE = Layout("inplace", "task", "task", days=False)
IN_PLACE_DAYS = Layout("inplace_days", "task", "task", days=True)
LAYOUTS = [MOVED, IN_PLACE, IN_PLACE_DAYS]
VARIANTS = [
    MOVED,
    Layout("moved, no CHECKs", "task_live", "task", days=True, checks=False),
    Layout("moved, no (task_type, id)", "task_live", "task", days=True, type_index=False),
]


def id_at(moment: datetime) -> UUID:
    """The lowest UUIDv7 of that millisecond."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def day_ranges() -> list[tuple[UUID, UUID]]:
    """Id ranges of the last DAYS days and of today and tomorrow, oldest first, in UTC."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = [today + timedelta(days=n) for n in range(-DAYS, 3)]
    return [(id_at(low), id_at(high)) for low, high in pairwise(starts)]


# --- the server ---------------------------------------------------------------------------------------------------


@contextmanager
def postgres_server() -> Iterator[tuple[str, int]]:
    """A throwaway PostgreSQL on a Unix socket: (socket directory, process id). fsync stays on."""
    with tempfile.TemporaryDirectory(prefix="psb") as home:
        Path(home).chmod(0o755)
        with PostgresServer(Path(home) / "data", settings=SERVER_SETTINGS) as server:
            yield str(server.socket_dir), server.pid


async def connect(directory: str, schema: str, **settings: str) -> asyncpg.Connection[asyncpg.Record]:
    """A connection whose search path is `schema`; waits up to 20 s for the server to come up."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return await asyncpg.connect(
                host=directory, user="app", database="postgres", server_settings={"search_path": schema, **settings}
            )
        except (OSError, asyncpg.CannotConnectNowError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def create(directory: str, layout: Layout, schema: str, history: int = 0) -> None:
    """Makes the tables of `layout` in `schema`, with `history` finished tasks spread over the last DAYS days."""
    base = await connect(directory, "public")
    await base.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")
    await base.close()
    db = await connect(directory, schema, maintenance_work_mem="512MB", synchronous_commit="off")
    async with db.transaction():
        for statement in [*layout.tables(), *layout.partitions(), *BESIDE]:
            await db.execute(statement)
        if history:
            await db.execute(finished_rows(layout, history))
        for statement in layout.indexes():
            await db.execute(statement)
    if history:
        await db.execute("VACUUM (FREEZE, ANALYZE) task")
    await db.close()


def finished_rows(layout: Layout, rows: int) -> str:
    columns = KEPT if layout.moves else f"{KEPT}, place"
    first = f"extract(epoch FROM date_trunc('day', now(), 'UTC') - interval '{DAYS} days') * 1000"
    step = DAYS * 86_400_000 / rows
    place = "" if layout.moves else ", CASE WHEN n % 33 = 0 THEN 'dead' ELSE 'done' END"
    return f"""INSERT INTO task ({columns})
        SELECT (lpad(to_hex(ms), 12, '0') || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid,
          'demo.task_' || n % 20, 'queue_' || n % 6, n % 11, CASE WHEN n % 33 = 0 THEN 'failed' ELSE 'succeeded' END,
          '{{"args": [' || n || '], "kwargs": {{"h": "' || repeat(h, 5) || '"}}}}', NULL, 'local', at, at, NULL, NULL,
          60, 4, 1, 1, 1, at, 'worker-1', at + interval '1 s', 1, 0.01, '{{"ok": true, "n": ' || n || '}}',
          CASE WHEN n % 33 = 0 THEN 'ValueError' END, CASE WHEN n % 33 = 0 THEN 'no such thing' END,
          CASE WHEN n % 33 = 0 THEN repeat('at line 1 of file', 20) END, true{place}
        FROM (SELECT n, ({first} + n * {step})::bigint AS ms, md5(n::text) AS h,
                     to_timestamp(({first} + n * {step}) / 1000) AS at FROM generate_series(0, {rows - 1}) n) s"""


# --- the load -----------------------------------------------------------------------------------------------------


def payload() -> str:
    return json.dumps({"args": [random.randrange(10**9)], "kwargs": {"note": "x" * 160, "to": "someone@example.org"}})


def batch(rows: int, sent_only: bool = False) -> tuple[list[Any], list[UUID]]:
    """The arguments of one submit statement, and the ids already sent to the broker by the submitter."""
    now = datetime.now(UTC)
    ids = [uuid7() for _ in range(rows)]
    chances = [1.0 if sent_only else random.random() for _ in ids]
    places = ["asleep" if c < 0.05 else "waiting" if c < 0.25 else "sent" for c in chances]
    later = [now + timedelta(seconds=2) if p == "asleep" else None for p in places]
    types, queues = random.choices(TASK_TYPES, k=rows), random.choices(QUEUES, k=rows)
    arguments: list[Any] = [
        ids,
        types,
        queues,
        [5] * rows,
        ["scheduled" if at else "queued" for at in later],
        places,
        random.choices(PAYLOADS, k=rows),
        ['{"order": "17"}' if c > 0.9 else None for c in chances],
        ["local"] * rows,
        later,
        [now + timedelta(hours=1) if c > 0.8 else None for c in chances],
        [60.0] * rows,
        [4] * rows,
        ids[0],
        ids[-1],
        rows,
    ]
    return arguments, [i for i, p in zip(ids, places, strict=True) if p == "sent"]


def started(ids: list[UUID]) -> list[Any]:
    n = len(ids)
    return [ids, [1] * n, [datetime.now(UTC)] * n, ["worker-1"] * n]


def ended(ids: list[UUID], bounds: bool = False) -> list[Any]:
    n = len(ids)
    bad = [i % 33 == 0 for i in range(n)]
    columns: list[Any] = [
        ids,
        ["failed" if b else "succeeded" for b in bad],
        [1] * n,
        [datetime.now(UTC)] * n,
        [None if b else '{"ok": true, "n": 1234567}' for b in bad],
        ["ValueError" if b else None for b in bad],
        ["no such thing" if b else None for b in bad],
        ["at line 1 of file" * 20 if b else None for b in bad],
    ]
    return [*columns, min(ids), max(ids)] if bounds else columns


PAYLOADS = [payload() for _ in range(1000)]


@dataclass
class Run:
    """What one run saw. Times of statements are seconds; `per_second` counts finished tasks."""

    stop: float
    times: dict[str, list[float]] = field(default_factory=dict)
    per_second: dict[int, int] = field(default_factory=dict)
    submitted: int = 0
    finished: int = 0
    sent: deque[UUID] = field(default_factory=deque)
    begun: float = field(default_factory=time.monotonic)

    def going(self) -> bool:
        return time.monotonic() < self.stop

    def took(self, name: str, since: float) -> None:
        self.times.setdefault(name, []).append(time.monotonic() - since)


async def submitter(run: Run, db: asyncpg.Connection[asyncpg.Record], layout: Layout) -> None:
    statement = await db.prepare(layout.submit())
    while run.going():
        if run.submitted - run.finished > UNFINISHED_LIMIT:
            await asyncio.sleep(0.002)
            continue
        arguments, sent = batch(SUBMIT_ROWS)
        run.submitted += SUBMIT_ROWS
        since = time.monotonic()
        await statement.fetch(*arguments)
        run.took("submit", since)
        run.sent.extend(sent)


async def dispatcher(run: Run, db: asyncpg.Connection[asyncpg.Record], layout: Layout) -> None:
    send, wake = await db.prepare(layout.send()), await db.prepare(layout.wake())
    while run.going():
        since = time.monotonic()
        await wake.fetch()
        run.took("wake", since)
        for queue in QUEUES:
            since = time.monotonic()
            rows = await send.fetch(queue)
            run.took("send", since)
            run.sent.extend(row["id"] for row in rows)
        await asyncio.sleep(0.05)


async def recorder(run: Run, db: asyncpg.Connection[asyncpg.Record], layout: Layout) -> None:
    running, end = await db.prepare(layout.running()), await db.prepare(layout.end())
    move_on = await db.prepare("UPDATE recorder_position SET last_id = $1 WHERE stream = 'events' AND last_id = $2")
    position: int = await db.fetchval("SELECT last_id FROM recorder_position")
    before: list[UUID] = []
    while run.going():
        if len(run.sent) < FINISH_ROWS:
            await asyncio.sleep(0.001)
            continue
        now = [run.sent.popleft() for _ in range(FINISH_ROWS)]
        since = time.monotonic()
        async with db.transaction():
            if len(await running.fetch(*started(now))) != len(now):
                raise AssertionError("a sent task was not there to start")
            if before:
                part = time.monotonic()
                done = len(await end.fetch(*ended(before)))
                run.took("end", part)
                if done != len(before):
                    raise AssertionError("a running task was not there to end")
            await move_on.fetch(position + 1, position)
        run.took("finish", since)
        position += 1
        run.finished += len(before)
        second = int(time.monotonic() - run.begun)
        run.per_second[second] = run.per_second.get(second, 0) + len(before)
        before = now


async def reader(run: Run, db: asyncpg.Connection[asyncpg.Record], layout: Layout) -> None:
    statements = {name: await db.prepare(text) for name, text in layout.reads().items()}
    while run.going():
        await asyncio.sleep(0.1)
        some = id_at(datetime.now(UTC) - timedelta(days=random.uniform(0, DAYS)))
        for name, statement in statements.items():
            since = time.monotonic()
            await statement.fetch(uuid7() if name == "newest" else some)
            run.took(name, since)


def server_cpu(pid: int) -> float:
    """CPU seconds used so far by the server and all its processes, also those that ended."""
    server = psutil.Process(pid)
    own = server.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in server.children():
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return float(total)


COUNTERS = """SELECT CASE WHEN relname = 'task_live' THEN 'live' ELSE 'task' END AS part,
    sum(n_dead_tup)::bigint AS dead, sum(n_tup_upd)::bigint AS updated, sum(n_tup_hot_upd)::bigint AS hot,
    sum(pg_total_relation_size(relid))::bigint AS bytes
    FROM pg_stat_user_tables WHERE schemaname = current_schema() AND relname LIKE 'task%' GROUP BY 1"""


async def counters(db: asyncpg.Connection[asyncpg.Record]) -> dict[str, dict[str, int]]:
    names = ("dead", "updated", "hot", "bytes")
    return {row["part"]: {name: int(row[name]) for name in names} for row in await db.fetch(COUNTERS)}


async def written(db: asyncpg.Connection[asyncpg.Record]) -> float:
    """Bytes of WAL since the cluster began."""
    return float(await db.fetchval("SELECT pg_current_wal_lsn() - '0/0'"))


def centile(values: Sequence[float], share: float) -> float:
    """Milliseconds; 0 when there are no values."""
    ordered = sorted(values)
    return round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2) if ordered else 0.0


async def load(server: tuple[str, int], layout: Layout, schema: str, seconds: float, snapshot: bool) -> dict[str, Any]:
    """One run of the whole load against `schema`. `snapshot`: hold a REPEATABLE READ one open throughout."""
    directory, pid = server
    ends = [await connect(directory, schema, **(CUSTOM if n in (2, 3) else {})) for n in range(6)]
    watch = ends.pop()
    holders = [await connect(directory, schema) for _ in range(2)] if snapshot else []
    if snapshot:
        await holders[0].execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await holders[0].fetchval("SELECT count(*) FROM recorder_position")
        await holders[1].execute("BEGIN")
        await holders[1].fetchval("SELECT pg_current_xact_id()::text")
    await watch.execute("CHECKPOINT")
    before, wal, cpu = await counters(watch), await written(watch), server_cpu(pid)
    run = Run(stop=time.monotonic() + seconds)
    roles = [submitter, submitter, dispatcher, recorder, reader]
    await asyncio.gather(*(role(run, db, layout) for role, db in zip(roles, ends, strict=True)))
    took = time.monotonic() - run.begun
    wal, cpu = await written(watch) - wal, server_cpu(pid) - cpu
    await asyncio.gather(*(db.close() for db in ends))
    await asyncio.sleep(1.2)
    after = await counters(watch)
    for holder in holders:
        await holder.execute("ROLLBACK")
        await holder.close()
    await watch.close()
    delta = {p: {k: after[p][k] - before.get(p, {}).get(k, 0) for k in ("updated", "hot", "bytes")} for p in after}
    part = "live" if layout.moves else "task"
    slot = 15 if seconds >= 45 else max(2, int(seconds / 4))
    last = int(seconds)
    return {
        "submitted_per_s": round(run.submitted / took),
        "finished_per_s": round(run.finished / took),
        "first_slot_per_s": round(sum(run.per_second.get(s, 0) for s in range(1, slot + 1)) / slot),
        "last_slot_per_s": round(sum(run.per_second.get(s, 0) for s in range(last - slot, last)) / slot),
        "p50_p99_ms": {k: [centile(v, 0.5), centile(v, 0.99)] for k, v in sorted(run.times.items())},
        "last_tenth_p50_ms": {k: centile(v[-max(1, len(v) // 10) :], 0.5) for k, v in sorted(run.times.items())},
        "server_cpu_us_per_task": round(1e6 * cpu / max(1, run.finished)),
        "wal_bytes_per_task": round(wal / max(1, run.finished)),
        "hot_share": round(delta[part]["hot"] / max(1, delta[part]["updated"]), 3),
        "dead": {p: after[p]["dead"] for p in after},
        "megabytes": {p: round(after[p]["bytes"] / 1e6, 1) for p in after},
        "grown_bytes_per_task": round(sum(delta[p]["bytes"] for p in delta) / max(1, run.finished)),
    }


def report(case: str, who: str, result: dict[str, Any]) -> None:
    print(json.dumps({"case": case, "layout": who, **result}), flush=True)


def summarise(case: str, results: dict[str, list[dict[str, Any]]]) -> None:
    """Medians over the rounds, and the ratio of each layout to the first."""
    names = ["submitted_per_s", "finished_per_s", "server_cpu_us_per_task", "wal_bytes_per_task"]
    first: dict[str, float] = {}
    for who, runs in results.items():
        middle = {name: statistics.median(run[name] for run in runs) for name in names}
        for key in ("submit", "finish", "end", "send"):
            for n, what in enumerate(("p50", "p99")):
                middle[f"{key}_{what}_ms"] = statistics.median(run["p50_p99_ms"][key][n] for run in runs)
        first = first or middle
        ratios = {k: f"{v:g} (x{v / first[k]:.2f})" if first[k] else f"{v:g}" for k, v in middle.items()}
        report(f"{case}, medians", who, ratios)


async def case_loads(
    server: tuple[str, int], case: str, layouts: Sequence[Layout], seconds: float, rounds: int
) -> None:
    results: dict[str, list[dict[str, Any]]] = {layout.name: [] for layout in layouts}
    for _ in range(rounds):
        for layout in layouts:
            schema = f"full_{layout.name}"
            if case == "empty":
                schema = f"empty_{layout.name}"
                await create(server[0], layout, schema)
            result = await load(server, layout, schema, seconds, snapshot=case == "snapshot")
            results[layout.name].append(result)
            report(case, layout.name, result)
    summarise(case, results)


# --- the smaller questions ----------------------------------------------------------------------------------------


async def case_forms(server: tuple[str, int], history: int, turns: int) -> None:
    """The terminal move of 300 rows, prepared while the table was empty, by statement form and plan setting."""
    generic, custom = {"plan_cache_mode": "force_generic_plan"}, CUSTOM
    forms: list[tuple[str, str, dict[str, str]]] = [
        ("join, generic", "", generic),
        ("join, auto", "", {}),
        ("join and id bounds, generic", BOUNDS, generic),
        ("join and id = ANY, generic", BY_IDS, generic),
        ("join, generic, nested loop forced", "", generic | BY_INDEX),
        ("join and id = ANY, generic, hash join forced", BY_IDS, generic | BY_HASH),
        ("join, custom", "", custom),
        ("join and id bounds, custom", BOUNDS, custom),
        ("join and id = ANY, custom", BY_IDS, custom),
    ]
    for layout in LAYOUTS:
        schema = f"forms_{layout.name}"
        await create(server[0], layout, schema)
        db = await connect(server[0], schema)
        plain = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        for (table,) in await db.fetch(plain):
            await db.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        prepared = []
        for name, where, settings in forms:
            one = await connect(server[0], schema, **settings)
            statement = await one.prepare(layout.end(where))
            for _ in range(7):
                await statement.fetch(*ended([uuid7()], bounds=where == BOUNDS))
            prepared.append((name, where, one, statement))
        await db.execute(finished_rows(layout, history))
        ids: list[UUID] = []
        for _ in range(len(forms) * turns * 2 * FINISH_ROWS // 1000 + 1):
            arguments, sent = batch(1000, sent_only=True)
            await db.fetch(layout.submit(), *arguments)
            ids += sent
        middle = len(ids) // 2
        near, far = ids[:middle], ids[middle:]
        random.shuffle(far)
        result: dict[str, Any] = {}
        times: dict[tuple[str, str], list[float]] = {}
        for _ in range(turns):
            for name, where, _, statement in prepared:
                for spread, source in (("near", near), ("far", far)):
                    chosen, source[:] = source[:FINISH_ROWS], source[FINISH_ROWS:]
                    since = time.monotonic()
                    done = await statement.fetch(*ended(chosen, bounds=where == BOUNDS))
                    times.setdefault((name, spread), []).append(time.monotonic() - since)
                    if len(done) != FINISH_ROWS:
                        raise AssertionError(f"{name}: {len(done)} rows ended")
        for (name, spread), values in times.items():
            result.setdefault(name, {})[spread] = centile(values, 0.5)
        for _, _, one, _ in prepared:
            await one.close()
        await db.close()
        report("forms", layout.name, result)


async def case_costs(server: tuple[str, int], history: int, rounds: int) -> None:
    """What the CHECKs and the (task_type, id) index cost, one connection, 40 batches a turn, history of today only."""
    times: dict[str, dict[str, list[float]]] = {v.name: {"submit": [], "end": []} for v in VARIANTS}
    for n, variant in enumerate(VARIANTS):
        await create(server[0], variant, f"cost_{n}", history)
    for turn in range(rounds + 1):
        for n, variant in enumerate(VARIANTS):
            db = await connect(server[0], f"cost_{n}", **CUSTOM)
            submit, end = await db.prepare(variant.submit()), await db.prepare(variant.end())
            await db.execute("CHECKPOINT")
            sums = {"submit": 0.0, "end": 0.0}
            for _ in range(40):
                arguments, _ = batch(FINISH_ROWS, sent_only=True)
                since = time.monotonic()
                await submit.fetch(*arguments)
                middle = time.monotonic()
                await end.fetch(*ended(arguments[0]))
                sums["submit"] += middle - since
                sums["end"] += time.monotonic() - middle
            await db.close()
            if turn:
                for key, value in sums.items():
                    times[variant.name][key].append(value / 40)
    for name, values in times.items():
        report("costs", name, {f"{k}_ms_per_300": round(1000 * statistics.median(v), 2) for k, v in values.items()})


async def case_retention(server: tuple[str, int], layouts: Sequence[Layout]) -> None:
    """Removing the oldest full day: its partition, or its rows and their vacuum."""
    low, high = day_ranges()[0]
    for layout in layouts:
        db = await connect(server[0], f"full_{layout.name}")
        rows: int = await db.fetchval("SELECT count(*) FROM task WHERE id >= $1 AND id < $2", low, high)
        steps = ["DROP TABLE task_d0"]
        if not layout.days:
            steps = [f"DELETE FROM task WHERE id >= '{low}' AND id < '{high}'", "VACUUM task"]
        await db.execute("CHECKPOINT")
        before = await counters(db)
        wal = await written(db)
        took = []
        for step in steps:
            since = time.monotonic()
            await db.execute(step)
            took.append(round(time.monotonic() - since, 3))
        wal = await written(db) - wal
        freed = before["task"]["bytes"] - (await counters(db))["task"]["bytes"]
        await db.close()
        result = {"rows": rows, "seconds": took, "wal_mb": round(wal / 1e6, 1)}
        report("retention", layout.name, {**result, "freed_mb": round(freed / 1e6, 1)})


async def fill(server: tuple[str, int], layouts: Sequence[Layout], history: int) -> None:
    since = time.monotonic()
    await asyncio.gather(*(create(server[0], layout, f"full_{layout.name}", history) for layout in layouts))
    for layout in layouts:
        db = await connect(server[0], f"full_{layout.name}")
        sizes = {part: round(counts["bytes"] / 1e6) for part, counts in (await counters(db)).items()}
        report("fill", layout.name, {"megabytes": sizes})
        await db.close()
    report("fill", "all", {"seconds": round(time.monotonic() - since, 1)})


async def measure(server: tuple[str, int], cases: Sequence[str], layouts: Sequence[Layout], quick: bool) -> None:
    rounds, seconds, history = (1, 5, 200_000) if quick else (3, 10, 5_000_000)
    if "empty" in cases:
        await case_loads(server, "empty", layouts, seconds, rounds)
    if "forms" in cases:
        await case_forms(server, 20_000 if quick else 50_000, 3)
    if "costs" in cases:
        await case_costs(server, 100_000, 3 if quick else 9)
    if {"full", "snapshot", "retention"} & set(cases):
        await fill(server, layouts, history)
    if "full" in cases:
        await case_loads(server, "full", layouts, seconds, rounds)
    if "snapshot" in cases:
        await case_loads(server, "snapshot", layouts, 10 if quick else 62, 1)
    if "retention" in cases:
        await case_retention(server, layouts)


CASES = ["empty", "forms", "costs", "full", "snapshot", "retention"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round over a small history: a smoke test")
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES, metavar="CASE", help=", ".join(CASES))
    names = [layout.name for layout in LAYOUTS]
    parser.add_argument("--layouts", nargs="+", choices=names, default=names, metavar="LAYOUT", help=", ".join(names))
    chosen = parser.parse_args()
    layouts = [layout for layout in LAYOUTS if layout.name in chosen.layouts]
    with postgres_server() as server:
        asyncio.run(measure(server, chosen.only, layouts, chosen.quick))


if __name__ == "__main__":
    main()
