"""What rows cost: arguments as text beside jsonb, and a hundred thousand retries that wait.

``python -m tests.benchmark.rows``, half a minute. What it found is in docs/decisions/0009-text-not-jsonb.md and
docs/decisions/0010-retries-as-rows.md. Rates are of one connection; CPU is that of its backend.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # ships no types
from pydantic import SecretStr

from pointsman_service.database import create_engine
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.settings import Settings
from pointsman_service.store.queues import dispatching
from pointsman_service.store.store import Store
from pointsman_service.store.upkeep.schema import migrate

_ROUNDS = 40
_ROWS = 300
_KINDS = ("text", "jsonb")
_SMALL = json.dumps({"subject": "Hello", "body": "How are you?", "retry": False})
_LARGE = json.dumps({"rows": [{"id": n, "name": f"name {n}", "value": n * 1.5, "tags": ["a", "b"]} for n in range(60)]})
_WAITING = 100_000
_A_PASS = 1000
_MILLISECONDS = 1000.0

_RETRYING = f"""
    INSERT INTO task_live (id, state, place, task_type, queue, priority, attempt, max_attempts, sla_seconds,
        timeout_seconds, due_at, caller, args, kwargs)
    SELECT gen_random_uuid(), 'retrying', 'asleep', 'letters.send', 'email', 7, 1, 4, 5, 60,
        now() + n * interval '1 second', 'local', '["ada@example.org"]', '{_SMALL}'
    FROM generate_series(1, {_WAITING}) AS n
"""


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _arguments(connection: Any, kwargs: str) -> None:
    """Write and read batches in both types, by turns."""
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    for kind in _KINDS:
        await connection.execute(f"DROP TABLE IF EXISTS as_{kind}")
        await connection.execute(f"CREATE TABLE as_{kind} (id bigserial PRIMARY KEY, kwargs {kind} NOT NULL)")
    spent: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    for turn in range(_ROUNDS):
        for kind in _KINDS if turn % 2 else _KINDS[::-1]:
            insert = f"INSERT INTO as_{kind} (kwargs) SELECT said::{kind} FROM unnest($1::text[]) AS said"
            read = f"SELECT kwargs::text FROM as_{kind} ORDER BY id DESC LIMIT {_ROWS}"
            for what, act in (
                ("write", partial(connection.execute, insert, [kwargs] * _ROWS)),
                ("read", partial(connection.fetch, read)),
            ):
                began, cpu = time.perf_counter(), _cpu_seconds(pid)
                for _ in range(4):
                    await act()
                seconds, cpus = spent.setdefault((kind, what), ([], []))
                seconds.append((time.perf_counter() - began) / 4 / _ROWS)
                cpus.append((_cpu_seconds(pid) - cpu) / 4 / _ROWS)
    for (kind, what), (seconds, cpus) in spent.items():
        micros, cpu_micros = statistics.median(seconds) * 1e6, statistics.mean(cpus) * 1e6
        print(f"{len(kwargs)} bytes, {kind}, {what}: {micros:.1f} µs a row, {cpu_micros:.1f} of them the backend's CPU")
    for kind in _KINDS:
        size = await connection.fetchval(f"SELECT pg_total_relation_size('as_{kind}')")
        print(f"{len(kwargs)} bytes, {kind}: {size / _ROUNDS / 4 / _ROWS:.0f} bytes a row on disk")


async def _milliseconds(act: Callable[[], Any], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await act()
        taken.append((time.perf_counter() - began) * _MILLISECONDS)
    return statistics.median(taken)


async def _retries(connection: Any, url: str) -> None:
    """What the sweep ``due`` pays for retries that wait, and for those whose time has come."""
    await migrate(url)
    store = Store(create_engine(Settings(database_url=SecretStr(url)), "rows"))

    async def one_pass() -> int:
        async with store.statement() as statement:
            return await dispatching.wake_due(statement, _A_PASS)

    await connection.execute(_RETRYING)
    await connection.execute("VACUUM ANALYZE task_live")
    size = await connection.fetchval("SELECT pg_total_relation_size('task_live')")
    print(f"{_WAITING} retries that wait: {size / _WAITING:.0f} bytes a row, its indexes among them")
    print(f"a pass that finds none due: {await _milliseconds(one_pass, 50):.2f} ms")
    await connection.execute("UPDATE task_live SET due_at = now()")
    await connection.execute("VACUUM ANALYZE task_live")
    print(f"a pass that wakes {_A_PASS} of them: {await _milliseconds(one_pass, 50):.1f} ms")
    await store.close()


async def _main(server: PostgresServer) -> None:
    connection = await asyncpg.connect(server.dsn_of())
    print(await connection.fetchval("SELECT version()"))
    for kwargs in (_SMALL, _LARGE):
        await _arguments(connection, kwargs)
    await _retries(connection, server.url)
    await connection.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory, PostgresServer(Path(directory) / "data") as running:
        asyncio.run(_main(running))
