"""The only one of each loop is gone, all workers are, Redis is; and each process is replaced: what people are told."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

from pointsman_service.observe.roles import LEADS, LedRole
from tests.stand.processes import Child
from tests.stand.stack import GONE
from tests.torture.installation import APART, Plan
from tests.torture.scenario import Run, scenario
from tests.torture.verdict import Harm

_ONE_OF_EACH = Plan(services=APART)
_TOLD_WITHIN_SECONDS = 15.0
_LOOK_SECONDS = 0.3
_SUBMIT_SECONDS = 0.2
_RESTART_SECONDS = 8.0
"""A role that is away for longer may be missed: alerts wait for ten seconds, and a look takes its time."""
_QUEUES = ("critical", "email", "reports", "maintenance")


@scenario("36", Harm.NONE, _ONE_OF_EACH)
async def no_dispatcher(run: Run) -> None:
    """The only dispatcher dies: one alert, the true one, and readiness names it."""
    await _role_is_gone(run, "dispatcher")


@scenario("36", Harm.NONE, _ONE_OF_EACH)
async def no_recorder(run: Run) -> None:
    """The only recorder dies: one alert, the true one, and readiness names it."""
    await _role_is_gone(run, "recorder")


@scenario("36", Harm.NONE, _ONE_OF_EACH)
async def no_reconciler(run: Run) -> None:
    """The only reconciler dies: one alert, the true one, told by another process, and readiness names it."""
    await _role_is_gone(run, "reconciler")


@scenario("36", Harm.DEATHS, _ONE_OF_EACH)
async def no_worker(run: Run) -> None:
    """Every worker node dies: one alert, the true one."""

    async def die() -> None:
        for node in run.stack.nodes:
            node.kill()

    async def come_back() -> None:
        for node in run.stack.nodes:
            node.start()

    await _incident(run, "no_worker", die, come_back, "worker")


@scenario("36", Harm.LOSS, _ONE_OF_EACH)
async def redis_away(run: Run) -> None:
    """Redis dies: one alert, the true one, and readiness names it."""

    async def die() -> None:
        run.valkey.kill()

    async def come_back() -> None:
        run.valkey.start()

    await _incident(run, "broker_away", die, come_back, "broker")


@scenario("36", Harm.NONE, _ONE_OF_EACH)
async def redis_full(run: Run) -> None:
    """Redis has nine tenths of its memory in use: one alert, the true one, and readiness names it."""

    async def fill() -> None:
        with run.stack.redis() as connection:
            used = int(connection.info("memory")["used_memory"])
            connection.config_set("maxmemory", used * 100 // 90)

    async def empty() -> None:
        with run.stack.redis() as connection:
            connection.config_set("maxmemory", 0)

    await _incident(run, "broker_full", fill, empty, "broker")


@scenario("36", Harm.NONE, Plan(services=APART, nodes=1))
async def each_process_replaced(run: Run) -> None:
    """Every process of one of each is stopped and started again, twice: nobody is told of anything."""
    slow: set[str] = set()
    async with _Watch(run) as watch:
        for _ in range(2):
            for name in (*APART, "worker"):
                child = run.stack.worker if name == "worker" else run.stack.role(name)
                if await _replaced(run, child, name) >= _RESTART_SECONDS:
                    slow.add(f"no_{name}")
    run.demand(set(watch.statuses) == {200}, f"readiness was {dict(watch.statuses)}: {watch.unready}")
    # On a machine where a process needs so long to start, it was missing.
    others = {key for key in watch.opened if key.partition(":")[0] not in slow}
    run.demand(not others, f"alerts of replacing processes: {others}")
    run.say(
        f"{watch.statuses[200]} times ready, {len(watch.opened)} alerts, too slow to start: {sorted(slow) or 'none'}"
    )


async def _replaced(run: Run, child: Child, name: str) -> float:
    """Stop it and start it again; how long nobody was in its place."""
    began = time.monotonic()
    status = await child.stop()
    run.demand(status == 0, f"{child.name} ended with {status} after SIGTERM")
    child.start()
    await run.until(partial(_is_there, run, child, name), f"{child.name} to be there")
    took = time.monotonic() - began
    await run.stack.ready()
    return took


async def _is_there(run: Run, child: Child, name: str) -> bool:
    if name == "api":
        return await run.stack.answers()
    if name == "worker":
        return bool(await run.stack.rows("SELECT pid FROM worker WHERE pid = :pid", pid=child.pid))
    held = await run.stack.rows(
        "SELECT holder FROM leader WHERE name = :name AND expires_at > now()", name=LEADS[LedRole(name)]
    )
    return any(f":{child.pid}:" in row["holder"] for row in held)


async def _role_is_gone(run: Run, role: str) -> None:
    child = run.stack.role(role)

    async def die() -> None:
        child.kill()

    async def come_back() -> None:
        child.start()

    await _incident(run, f"no_{role}", die, come_back, role)


async def _incident(
    run: Run, rule: str, begin: Callable[[], Awaitable[None]], end: Callable[[], Awaitable[None]], named: str
) -> None:
    """While something is wrong: this alert, and no other, ever; and readiness names it."""
    async with _Watch(run) as watch:
        await begin()
        began = time.monotonic()
        await run.load.last(120.0 if run.full else max(40.0, run.seconds))
        at = watch.opened.get(rule)
        run.demand(at is not None, f"{rule} was not told: {list(watch.opened)}")
        if at is not None:
            run.demand(at - began <= _TOLD_WITHIN_SECONDS, f"{rule} was told after {at - began:.1f} s")
            run.say(f"told after {at - began:.1f} s")
        run.demand(watch.open == {rule}, f"open alerts: {watch.open}, not {rule} alone")
        parts = (await run.stack.http.get("/readyz?verbose")).json()["parts"]
        run.demand(not parts.get(named, parts["workers"])["ok"], f"readiness does not name {named}")
        if rule != "no_worker":
            run.demand(set(watch.statuses) == {200}, f"readiness was {dict(watch.statuses)}: {watch.unready}")
        await end()
        await run.stack.ready()
        await run.until(watch.nothing_is_open, "the alert to be resolved", 60.0)
        # What is left of it is not told either.
        await run.load.last(60.0 if run.full else 15.0)
        run.demand(set(watch.opened) == {rule}, f"told of one cause: {list(watch.opened)}")
    run.say(f"alerts: {', '.join(watch.opened)}")


class _Watch:
    """Looks at readiness and alerts all the time, and submits to several queues, no more than the nodes can run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._tasks: list[asyncio.Task[None]] = []
        self.statuses: Counter[int] = Counter()
        self.unready: set[str] = set()
        """What it said when it was not ready."""
        self.opened: dict[str, float] = {}
        """Keys of alerts that were seen open, and when first."""
        self.open: set[str] = set()

    async def __aenter__(self) -> Self:
        # It submits more than the nodes can run at once, and what is late for that is no news here.
        self._run.load.quiet = True
        await self._run.until(self._is_idle, "what was submitted to end")
        await self._ignore_errors()
        self._tasks = [asyncio.create_task(self._look()), asyncio.create_task(self._submit())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                self._run.faults.append(f"{type(ended).__name__}: {ended}")
        self._run.load.quiet = False

    async def nothing_is_open(self) -> bool:
        """Whether no alert is open."""
        return not self.open

    async def _is_idle(self) -> bool:
        left = await self._run.stack.rows("SELECT count(*) AS tasks FROM task_live")
        return not left[0]["tasks"] and not await self._keys()

    async def _ignore_errors(self) -> None:
        """What the load raised on purpose would be told seconds later, and is no news here."""
        groups = await self._run.stack.rows("SELECT id::text FROM error_group WHERE state = 'open'")
        for group in groups:
            url = f"/v1/errors/{group['id']}/ignore"
            answer = await self._run.stack.http.post(url, json={"reason": "it is raised on purpose"})
            self._run.demand(answer.status_code == 200, f"{url} was answered {answer.status_code}")

    async def _keys(self) -> set[str]:
        answer = await self._run.stack.http.get("/v1/alerts?state=open")
        return {item["key"] for item in answer.json()["items"]}

    async def _look(self) -> None:
        while True:
            with suppress(*GONE):
                answer = await self._run.stack.http.get("/readyz")
                self.statuses[answer.status_code] += 1
                if answer.status_code != 200:
                    self.unready.add(answer.text)
                self.open = await self._keys()
                for key in self.open - self.opened.keys():
                    self.opened[key] = time.monotonic()
                    self._run.tell(f"{key} is open")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _submit(self) -> None:
        number = 0
        while True:
            body = {"task_type": "torture.effect", "queue": _QUEUES[number % len(_QUEUES)], "tags": {"many": "1"}}
            with suppress(*GONE):
                answer = await self._run.stack.http.post("/v1/tasks", json=body)
                self._run.demand(answer.status_code == 202, f"a submission was answered {answer.status_code}")
            number += 1
            await asyncio.sleep(_SUBMIT_SECONDS)
