"""Postgres stops, breaks connections, has no room, is kept busy by others."""

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no stubs

from pointsman_service.embedded.errors import ChildFailed
from tests.torture.installation import Plan
from tests.torture.scenario import Run, Skipped, scenario
from tests.torture.verdict import Harm

_AWAY = (200, 202, 207, 503)
_BACK_SECONDS = 3.0
"""What the design promises for intake after Postgres is back."""


@scenario("17", Harm.NONE, Plan(postgres={"max_connections": "100"}), _AWAY, answers_within_seconds=8)
async def postgres_immediate_restart(run: Run) -> None:
    """Postgres is stopped as by a crash, stays away, and comes back, twice; the second time it is killed."""
    for number in (signal.SIGQUIT, signal.SIGKILL):
        os.kill(run.postgres.pid, number)
        run.postgres.kill()
        await run.load.last(run.seconds / 2)
        run.postgres.start()
        took = await _takes_in_again(run)
        run.say(f"intake was back {took:.1f} s after it")
        run.demand(took <= _BACK_SECONDS, f"intake was back after {took:.1f} s, at most 3 s")
        await run.load.more(40)


async def _takes_in_again(run: Run) -> float:
    async def taken() -> bool:
        before = len(run.load.accepted)
        await run.load.last(0.05)
        return len(run.load.accepted) > before

    return await run.until(taken, "intake to be back")


@scenario("18", Harm.NONE, Plan(database_proxy=True), _AWAY)
async def backends_terminated(run: Run) -> None:
    """Database connections are terminated at random, in the midst of whatever they do."""
    ended = 0
    until = time.monotonic() + run.seconds
    while time.monotonic() < until:
        rows = await run.stack.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND random() < :share",
            share=run.random.uniform(0.1, 0.6),
        )
        ended += len(rows)
        await run.load.last(run.random.uniform(0.05, 0.4))
    run.say(f"{ended} connections")
    await run.stack.ready()


@scenario("18", Harm.NONE, Plan(database_proxy=True), _AWAY, answers_within_seconds=15)
async def commit_outcome_unknown(run: Run) -> None:
    """The line to the database swallows answers, so that commits happen and nobody hears of it, then breaks."""
    proxy = run.database
    assert proxy is not None
    rounds = 0
    until = time.monotonic() + run.seconds
    while time.monotonic() < until:
        proxy.swallow_answers()
        await run.load.last(run.random.uniform(0.1, 0.5))
        proxy.reset(run.random)
        proxy.go_on()
        rounds += 1
        await run.load.last(run.random.uniform(0.3, 1.0))
    run.say(f"{rounds} times")
    await run.stack.ready()


@scenario("19", Harm.NONE, Plan(postgres={"max_connections": "30"}), _AWAY, answers_within_seconds=12)
async def postgres_out_of_connections(run: Run) -> None:
    """Others take every connection Postgres has, after ours were cut."""
    async with AsyncExitStack() as exits:
        await run.stack.do(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
        taken = 0
        async with asyncio.timeout(20):
            while taken < 60:
                try:
                    connection = await asyncpg.connect(run.postgres.dsn_of("postgres"))
                except asyncpg.PostgresError:
                    break
                exits.push_async_callback(connection.close)
                taken += 1
        await run.load.last(run.seconds)
        run.say(f"{taken} connections taken")
    took = await _takes_in_again(run)
    run.say(f"intake was back after {took:.1f} s")
    await run.stack.ready()


_DISK_MB = 700


def _do(words: list[str]) -> None:
    subprocess.run(words, check=True)


def _can_mount() -> None:
    with tempfile.TemporaryDirectory() as place:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, text=True, check=False
        )
        if mounted.returncode != 0:
            raise Skipped(f"needs to mount a small file system: {mounted.stderr.strip()}")
        _do(["umount", place])


@scenario("19", Harm.NONE, Plan(postgres={"max_wal_size": "64MB"}), _AWAY, needs=_can_mount)
async def postgres_disk_full(run: Run) -> None:
    """The disk of Postgres is full for a while, its write-ahead log included."""
    wal = run.postgres.data_dir / "pg_wal"
    run.postgres.stop()
    aside = wal.with_name("pg_wal.aside")
    wal.rename(aside)
    wal.mkdir()
    _do(["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs", str(wal)])
    try:
        _do(["cp", "-a", f"{aside}/.", str(wal)])
        _do(["chown", "--reference", str(aside), str(wal)])
        wal.chmod(0o700)
        run.postgres.start()
        await _takes_in_again(run)
        _fill(wal / "filler")
        await run.load.last(run.seconds)
        refused = run.load.statuses[503]
        (wal / "filler").unlink()
        await _started_again(run)
        took = await _takes_in_again(run)
        run.say(f"{refused} submissions were refused; intake was back after {took:.1f} s")
    finally:
        run.postgres.stop()
        _do(["cp", "-a", f"{wal}/.", str(aside)])
        _do(["umount", str(wal)])
        wal.rmdir()
        aside.rename(wal)
        run.postgres.start()
    await _takes_in_again(run)


def _fill(path: Path) -> None:
    """Leave no room at all."""
    with path.open("wb") as filler:
        try:
            while True:
                filler.write(b"\0" * 65536)
                filler.flush()
        except OSError:
            return


async def _started_again(run: Run) -> None:
    async def runs() -> bool:
        try:
            await asyncio.to_thread(run.postgres.start, 10)
        except ChildFailed:
            return False
        return True

    await run.until(runs, "Postgres to start again")


@scenario("27", Harm.NONE)
async def transaction_left_open(run: Run) -> None:
    """A transaction is left open and analysts scan the tables in REPEATABLE READ, 10 minutes with --full."""
    seconds = 600.0 if run.full else max(15.0, run.seconds)
    name = (await run.stack.rows("SELECT current_database() AS name"))[0]["name"]
    idle = await asyncpg.connect(run.postgres.dsn_of(name))
    analyst = await asyncpg.connect(run.postgres.dsn_of(name))
    try:
        await idle.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await idle.execute("SELECT count(*) FROM task_live")
        before = await _throughput(run, seconds / 3)
        until = time.monotonic() + seconds / 3
        await analyst.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        while time.monotonic() < until:
            await analyst.execute("SELECT count(*), max(length(args)) FROM task_live")
            await analyst.execute("SELECT state, count(*), max(length(args)) FROM task GROUP BY state")
            await run.load.last(0.05)
        after = await _throughput(run, seconds / 3)
    finally:
        await idle.close()
        await analyst.close()
    run.say(f"{seconds:.0f} s; {before:.0f}/s at its beginning, {after:.0f}/s at its end")
    run.demand(after > before / 2, f"throughput fell from {before:.0f}/s to {after:.0f}/s")


async def _throughput(run: Run, seconds: float) -> float:
    began, before = time.monotonic(), len(run.load.accepted)
    await run.load.last(seconds)
    return (len(run.load.accepted) - before) / (time.monotonic() - began)


@scenario("28", Harm.NONE, Plan(postgres={"max_connections": "400"}), _AWAY, answers_within_seconds=15)
async def crowded_and_terminated(run: Run) -> None:
    """300 idle connections beside ours, and all backends terminated once a second, for a minute with --full."""
    seconds = 60.0 if run.full else max(8.0, run.seconds)
    async with AsyncExitStack() as exits:
        for _ in range(300):
            connection = await asyncpg.connect(run.postgres.dsn_of("postgres"))
            exits.push_async_callback(connection.close)
        until = time.monotonic() + seconds
        ended = 0
        while time.monotonic() < until:
            ended += len(
                await run.stack.rows(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid()"
                )
            )
            await run.load.last(1.0)
        run.say(f"{ended} terminated")
        await run.stack.ready()
