"""How soon everything goes on after a fault: `python -m tests.benchmark.recovery [node|empty|postgres ...]`.

node      the worker node is SIGKILLed under load, and another starts: when its attempts run again.
empty     Redis comes back empty with 50,000 tasks due, 100 of them critical: when the first and when all critical are
          sent again, and the throughput before and 30 s after.
postgres  PostgreSQL is stopped at once (SIGQUIT) and started under load: when intake is back.

Each prints one JSON line, in seconds at default settings, on servers of its own, and leaves nothing behind.
"""

import argparse
import asyncio
import json
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.store.upkeep.schema import migrate
from tests.stand.load import Load
from tests.stand.stack import GONE, Stack
from tests.stand.waiting import until

_DUE, _CRITICAL, _BATCH = 50_000, 100, 1000
_THROUGHPUT_SECONDS = 10.0
_AFTER_SECONDS = 30.0
_LONG_SECONDS = 180.0


@asynccontextmanager
async def _running() -> AsyncIterator[tuple[Stack, PostgresServer, ValkeyServer]]:
    async with AsyncExitStack() as exits:
        directory = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="pm-recovery-")))
        postgres = exits.enter_context(PostgresServer(directory / "postgres"))
        await migrate(postgres.url)
        valkey = exits.enter_context(ValkeyServer(directory / "valkey", appendonly=False))
        stack = await exits.enter_async_context(Stack(postgres.url, valkey, directory, processes=3))
        yield stack, postgres, valkey


async def _count(stack: Stack, sql: str) -> int:
    return int((await stack.rows(f"SELECT count(*) AS n FROM {sql}"))[0]["n"])


async def node() -> dict[str, Any]:
    """SIGKILL of a node, and another in its place."""
    async with _running() as (stack, _, _):
        release = stack.directory / "release"
        held = [await stack.submit("ledger.hold", args=[str(release)], queue="critical") for _ in range(2)]
        await stack.wait_for_effects(held)
        async with Load(stack, clients=4) as load:
            await load.more(100)
            began = time.monotonic()
            stack.worker.kill()
            stack.worker.start()

            async def again() -> bool:
                return all(stack.ledger.effects()[task] == 2 for task in held)

            await until(again, "both to run again", _LONG_SECONDS)
            took = time.monotonic() - began
            release.touch()
        return {"running_again_seconds": round(took, 2)}


async def empty() -> dict[str, Any]:
    """An empty Redis with a long backlog."""
    async with _running() as (stack, _, valkey):
        async with stack.client() as client:
            batch = [{"task_type": "ledger.write", "queue": "maintenance"}] * _BATCH
            for _ in range(_DUE // _BATCH):
                answer = await client.post("/v1/tasks/batch", json={"tasks": batch})
                assert answer.status_code < 300, answer.text
            before = await _throughput(stack)
            due = await _count(stack, "task_live")
            valkey.kill()
            critical = [{"task_type": "ledger.write", "queue": "critical"}] * _CRITICAL
            assert (await client.post("/v1/tasks/batch", json={"tasks": critical})).status_code < 300
        valkey.start()
        began = time.monotonic()
        first = await _when(began, lambda: _count(stack, "task_live WHERE place = 'sent' AND sent_epoch = 2"))

        async def all_critical() -> bool:
            unsent = "task_live WHERE queue = 'critical' AND (place <> 'sent' OR sent_epoch < 2)"
            return not await _count(stack, unsent)

        every = await _when(began, all_critical)
        await asyncio.sleep(max(0.0, _AFTER_SECONDS - (time.monotonic() - began)))
        after = await _throughput(stack)
        return {
            "due": due,
            "first_sent_again_seconds": first,
            "all_critical_sent_again_seconds": every,
            "throughput_ratio_after_30_s": round(after / before, 2),
        }


async def _throughput(stack: Stack) -> float:
    ended, began = await _count(stack, "task"), time.monotonic()
    await asyncio.sleep(_THROUGHPUT_SECONDS)
    return (await _count(stack, "task") - ended) / (time.monotonic() - began)


async def _when(began: float, look: Callable[[], Awaitable[Any]]) -> float:
    await until(look, "what is measured", _LONG_SECONDS)
    return round(time.monotonic() - began, 2)


async def postgres() -> dict[str, Any]:
    """An immediate restart of PostgreSQL."""
    async with _running() as (stack, server, _), stack.client() as client:
        async with Load(stack, clients=8) as load:
            await load.more(200)
            os.kill(server.pid, signal.SIGQUIT)
            longest = 0.0
            for _ in range(20):
                asked = time.monotonic()
                answer = await client.post("/v1/tasks", json={"task_type": "ledger.write"})
                longest = max(longest, time.monotonic() - asked)
                assert answer.status_code in (202, 503), answer.text
            server.start()
            began = time.monotonic()

            async def accepted() -> bool:
                try:
                    return (await client.post("/v1/tasks", json={"task_type": "ledger.write"})).status_code == 202
                except GONE:
                    return False

            back = await _when(began, accepted)
            await load.more(200)
        return {"longest_answer_while_away_seconds": round(longest, 2), "intake_back_seconds": back}


_SCENARIOS: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {"node": node, "empty": empty, "postgres": postgres}


async def _main(names: list[str]) -> None:
    for name in names:
        found = await _SCENARIOS[name]()
        print(json.dumps({"scenario": name} | found), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*_SCENARIOS, []], metavar="SCENARIO")
    asyncio.run(_main(parser.parse_args().names or list(_SCENARIOS)))
