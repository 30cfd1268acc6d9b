"""Redis dies, forgets, remembers too much, fills up, freezes, breaks its connections."""

import asyncio
import os
import signal
import time
from functools import partial

from pointsman_contract import keys
from pointsman_contract.failpoints import VARIABLE
from tests.torture.installation import Plan
from tests.torture.scenario import Run, scenario
from tests.torture.verdict import Harm

_FORGETFUL = Plan(appendonly=False)
_PROXIED = Plan(broker_proxy=True)


@scenario("12", Harm.LOSS, _FORGETFUL)
async def redis_back_empty(run: Run) -> None:
    """Redis is killed and comes back empty, twice, while tasks run."""
    for number in range(2):
        release = run.directory / f"release-{number}"
        held = [await run.stack.submit("torture.hold", args=[str(release)], queue="critical") for _ in range(2)]
        await run.until(partial(_have_begun, run, held), "the tasks to begin")
        run.valkey.kill()
        await run.load.more(40)
        run.valkey.start()
        took = await run.until(run.stack.is_ready, "a new epoch")
        run.say(f"open again after {took:.1f} s")
        await run.load.more(20)
        release.touch()
        for task in held:
            row = await run.stack.finished(task)
            run.demand(row["state"] == "succeeded", f"{task} ended {row['state']}")
        counts = run.effects.counts()
        run.demand(all(counts[task] == 1 for task in held), f"running tasks were doubled: {counts}")


async def _have_begun(run: Run, tasks: list[str]) -> bool:
    return run.effects.counts().keys() >= set(tasks)


@scenario("12", Harm.LOSS, _FORGETFUL)
async def service_killed_in_a_new_epoch(run: Run) -> None:
    """Redis comes back empty, and the service dies at every step of the new epoch."""
    for place in ("epoch.committed", "epoch.declared", "epoch.sent_again", "epoch.opened"):
        run.stack.service.kill()
        run.valkey.kill()
        run.valkey.start()
        run.stack.service.start(**{VARIABLE: f"{place}=kill"})
        status = await run.stack.service.ended()
        run.demand(status == -9, f"the service ended with {status} and not at {place}")
        run.stack.service.start()
        await run.stack.ready()
        await run.load.more(20)


@scenario("13", Harm.LOSS, _FORGETFUL)
async def redis_back_with_old_data(run: Run) -> None:
    """Redis is killed and comes back with a snapshot that is some seconds old."""
    for _ in range(2):
        await asyncio.to_thread(_save, run)
        await run.load.more(150)

        async def some_finished() -> bool:
            return bool((await run.stack.rows("SELECT count(*) AS tasks FROM task"))[0]["tasks"])

        await run.until(some_finished, "tasks to end")
        run.valkey.kill()
        finished = {str(row["id"]) for row in await run.stack.rows("SELECT id FROM task")}
        before = run.effects.counts()
        run.valkey.start()
        await run.until(run.stack.is_ready, "a new epoch")
        await run.load.more(60)
        after = run.effects.counts()
        again = [task for task in finished if after[task] > before[task]]
        run.demand(not again, f"tasks ran again that Postgres knew as finished: {again[:5]}")
        run.say(f"{len(finished)} had finished")


def _save(run: Run) -> None:
    with run.stack.redis() as connection:
        connection.save()


@scenario("14", Harm.NONE, statuses=(200, 202))
async def redis_memory_full(run: Run) -> None:
    """Redis reaches its memory limit, and is given room again."""
    with run.stack.redis() as connection:
        for percent in (100, 78):
            used = int(connection.info("memory")["used_memory"])
            connection.config_set("maxmemory", used * 100 // percent)
            await run.load.last(run.seconds / 2)
            await run.load.more(30)
            connection.config_set("maxmemory", 0)
            await run.until(run.stack.is_ready, "the broker to be fine again")
            await run.load.more(30)
    for child in run.stack.nodes:
        run.demand(child.is_running, f"{child.name} did not outlive it")


@scenario("15", Harm.NONE)
async def client_kill_storm(run: Run) -> None:
    """Redis breaks every connection five times a second."""
    until = time.monotonic() + run.seconds
    storms = 0
    with run.stack.redis() as connection:
        while time.monotonic() < until:
            connection.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            storms += 1
            await run.load.last(0.2)
    run.say(f"{storms} times")
    await run.stack.ready()


@scenario("16", Harm.NONE, answers_within_seconds=6)
async def redis_frozen(run: Run) -> None:
    """Redis is frozen, 30 s with --full, and goes on."""
    seconds = 30.0 if run.full else max(12.0, run.seconds)
    os.kill(run.valkey.pid, signal.SIGSTOP)
    try:
        await run.load.last(seconds)
        await run.load.more(20)
    finally:
        os.kill(run.valkey.pid, signal.SIGCONT)
    run.say(f"{seconds:.0f} s; slowest answer {run.load.slowest_seconds:.1f} s")
    await run.stack.ready()


@scenario("16", Harm.LOSS, _PROXIED, answers_within_seconds=6)
async def broken_line_to_redis(run: Run) -> None:
    """The line to Redis is slow, then half-open, then swallows answers, then resets connections."""
    proxy = run.broker
    assert proxy is not None
    proxy.latency_seconds = 0.1
    await run.load.last(run.seconds / 2)
    proxy.freeze()
    await run.load.last(max(8.0, run.seconds))
    proxy.go_on()
    await run.stack.ready()
    proxy.swallow_answers()
    await run.load.last(max(8.0, run.seconds))
    proxy.go_on()
    await run.stack.ready()
    resets = 0
    until = time.monotonic() + run.seconds
    while time.monotonic() < until:
        resets += proxy.reset(run.random, 0.3)
        await run.load.last(0.3)
    run.say(f"{resets} resets; slowest answer {run.load.slowest_seconds:.1f} s")
    await run.stack.ready()


@scenario("12", Harm.LOSS, _FORGETFUL)
async def critical_first_after_an_outage(run: Run) -> None:
    """Redis comes back empty with much due, some of it critical: the critical goes first."""
    due = 50_000 if run.full else 3_000
    run.valkey.kill()
    await _submit_many(run, due, 20)
    await _submit_many(run, 100, 1, queue="critical")
    run.valkey.start()
    began = time.monotonic()
    await run.until(partial(_sent, run, "true", 1), "the first to be sent again")
    first = time.monotonic() - began
    await run.until(partial(_sent, run, "queue = 'critical' AND tags ->> 'many' IS NOT NULL", 100), "all critical")
    critical = time.monotonic() - began
    run.say(f"of {due} due the first was sent after {first:.1f} s, 100 critical ones after {critical:.1f} s")
    run.demand(first <= 8, f"the first was sent again after {first:.1f} s, at most 8 s")
    run.demand(critical <= 10, f"all critical ones were sent again after {critical:.1f} s, at most 10 s")


async def _submit_many(run: Run, tasks: int, at_once: int, queue: str = "maintenance") -> None:
    body = {"task_type": "torture.effect", "queue": queue, "tags": {"many": "1"}}
    left = tasks
    async with run.stack.client(seconds=40.0) as http:
        while left > 0:
            size = min(500, left)
            answer = await http.post("/v1/tasks/batch", json={"tasks": [body] * size})
            run.demand(answer.status_code == 202, f"a batch was answered {answer.status_code}: {answer.text[:200]}")
            left -= size


async def _sent(run: Run, where: str, tasks: int) -> bool:
    with run.stack.redis() as connection:
        if connection.hget(keys.CONTROL, "open") != "1":
            return False
    rows = await run.stack.rows(
        "SELECT (SELECT count(*) FROM task_live WHERE dispatch > 0 AND place = 'sent' AND sent_epoch ="
        f" (SELECT max(epoch) FROM broker_epoch) AND {where})"
        f" + (SELECT count(*) FROM task WHERE {where}) AS tasks"
    )
    return bool(rows[0]["tasks"] >= tasks)
