"""A scenario is a function that does something to a running installation under load. This runs one, whole."""

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pointsman_contract import keys
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.stand import invariants
from tests.stand.waiting import until
from tests.torture.effects import Effects
from tests.torture.installation import Beside, Installation, Plan
from tests.torture.load import Load
from tests.torture.proxy import Proxy
from tests.torture.servers import Servers
from tests.torture.verdict import Harm, Verdict, judge

DRAIN_SECONDS = 90.0
_BEFORE = 60
"""Tasks accepted before anything is done, and after."""


class Skipped(Exception):
    """The machine lacks what the scenario needs; the message says what."""


@dataclass
class Run:
    """What a scenario has in hand."""

    stack: Installation
    load: Load
    valkey: ValkeyServer
    postgres: PostgresServer
    random: random.Random
    seconds: float
    """How long the fault lasts, where it lasts."""
    full: bool
    directory: Path
    broker: Proxy | None = None
    database: Proxy | None = None
    said: list[str] = field(default_factory=list)
    """What was done and measured, for the line."""
    faults: list[str] = field(default_factory=list)
    """What the scenario itself found not to hold."""
    beside: Beside | None = None
    """What the plan wants to run beside it."""
    began: float = field(default_factory=time.monotonic)

    def tell(self, words: str) -> None:
        """A line of the timeline, at once."""
        print(f"    {time.monotonic() - self.began:6.1f} s  {words}", flush=True)

    def say(self, words: str) -> None:
        """Add to what the line tells."""
        self.said.append(words)

    def demand(self, holds: bool, what: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.faults.append(what)

    async def until(self, look: Callable[[], Awaitable[Any]], what: str, seconds: float = 90.0) -> float:
        """Wait for a condition; how long it took."""
        began = time.monotonic()
        await until(look, what, seconds)
        return time.monotonic() - began

    @property
    def effects(self) -> Effects:
        """What the tasks wrote down."""
        return self.stack.effects


Body = Callable[[Run], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """One kind of fault."""

    name: str
    rows: str
    """Of the table in docs/reliability.md."""
    does: str
    body: Body
    harm: Harm
    plan: Plan
    statuses: frozenset[int]
    """What the load may be answered."""
    answers_within_seconds: float | None
    needs: Callable[[], None]
    """Raises ``Skipped``."""


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    rows: str,
    harm: Harm,
    plan: Plan | None = None,
    statuses: tuple[int, ...] = (200, 202),
    answers_within_seconds: float | None = None,
    needs: Callable[[], None] = lambda: None,
) -> Callable[[Body], Body]:
    """Register a function as a scenario; its name and the first line of its docstring are the scenario's."""

    def register(body: Body) -> Body:
        name = body.__name__.replace("_", "-")
        does = (body.__doc__ or "").strip().splitlines()[0].rstrip(".")
        SCENARIOS[name] = Scenario(
            name, rows, does, body, harm, plan or Plan(), frozenset((*statuses, 409)), answers_within_seconds, needs
        )
        return body

    return register


@dataclass
class Result:
    """One line of the report."""

    name: str
    ok: bool
    does: str
    accepted: int = 0
    executed: int = 0
    duplicated: int = 0
    lost: int = 0
    drain_seconds: float = 0.0
    seconds: float = 0.0
    skipped: str | None = None
    said: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    logs: str = ""
    """Of the processes, when something does not hold."""

    def line(self) -> str:
        """What was done and what came of it."""
        if self.skipped is not None:
            return f"{self.name:<34} SKIPPED: {self.skipped}"
        figures = (
            f"accepted {self.accepted}, executed {self.executed}, duplicated {self.duplicated}, lost {self.lost}, "
            f"drained in {self.drain_seconds:.1f} s"
        )
        told = "; ".join([self.does, *self.said])
        lines = [f"{self.name:<34} {'ok' if self.ok else 'BROKEN'}  {told}: {figures} ({self.seconds:.0f} s)"]
        return "\n".join([*lines, *(f"    does not hold: {fault}" for fault in self.faults)])

    def as_json(self) -> dict[str, Any]:
        """Its entry in the file."""
        return {name: value for name, value in asdict(self).items() if name != "logs"}


async def run(chosen: Scenario, servers: Servers, seed: int, seconds: float, full: bool) -> Result:
    """One scenario from its start to its verdict. Never raises for what the scenario finds."""
    began = time.monotonic()
    result = Result(chosen.name, False, chosen.does)
    try:
        chosen.needs()
    except Skipped as reason:
        result.skipped = str(reason)
        return result
    directory = Path(tempfile.mkdtemp(prefix="pointsman-torture-"))
    try:
        async with asyncio.timeout(600):
            await _whole(chosen, servers, seed, seconds, full, directory, result)
    except Exception as error:
        result.faults.append(f"{type(error).__name__}: {error}"[:2000])
        cause = error.__cause__
        if cause is not None:
            result.faults.append(f"because {type(cause).__name__}: {cause}"[:2000])
        result.logs += "\n".join(getattr(error, "__notes__", []))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    result.ok = not result.faults
    result.seconds = time.monotonic() - began
    return result


async def _whole(
    chosen: Scenario, servers: Servers, seed: int, seconds: float, full: bool, directory: Path, result: Result
) -> None:
    plan = chosen.plan
    async with AsyncExitStack() as exits:
        given = await exits.enter_async_context(servers.of(plan, directory))
        postgres, database_url, valkey, broker, database = given
        beside = None if plan.beside is None else await exits.enter_async_context(plan.beside())
        addresses = {} if beside is None else dict(beside.variables)
        if broker is not None:
            addresses["POINTSMAN_REDIS_URL"] = f"redis://127.0.0.1:{broker.port}/0"
        if database is not None:
            addresses["POINTSMAN_DATABASE_URL"] = servers.over_tcp(database_url, database.port)
        async with Installation(plan, database_url, valkey, directory, addresses) as stack:
            load = Load(stack, f"{seed}/{chosen.name}/load")
            drawn = random.Random(f"{seed}/{chosen.name}")
            told = Run(stack, load, valkey, postgres, drawn, seconds, full, directory, broker, database, beside=beside)
            result.said, result.faults = told.said, told.faults
            try:
                async with load:
                    await load.more(_BEFORE)
                    await chosen.body(told)
                    await load.more(_BEFORE)
                result.accepted = len(load.accepted)
                began = time.monotonic()
                await drain(stack)
                result.drain_seconds = time.monotonic() - began
                verdict = await judge(stack, load, chosen.harm, chosen.statuses)
                _take(result, verdict)
                if chosen.answers_within_seconds is not None:
                    told.demand(
                        load.slowest_seconds <= chosen.answers_within_seconds,
                        f"an answer took {load.slowest_seconds:.1f} s, at most {chosen.answers_within_seconds:g} s",
                    )
            except BaseException:
                result.logs = stack.last_lines()
                raise
            if result.faults:
                result.logs = stack.last_lines()


async def drain(stack: Installation) -> None:
    """Return once nothing is left to do anywhere, with nobody's help."""

    async def nothing_left() -> bool:
        left = await invariants.leftovers(stack)
        assert not left, left
        return True

    try:
        await until(nothing_left, "everything to drain", DRAIN_SECONDS)
    except AssertionError as error:
        raise AssertionError(f"it does not drain: {error.__cause__}; {await stuck(stack)}") from None


async def stuck(stack: Installation) -> str:
    """What is known of tasks that do not end."""
    rows = await stack.rows(
        "SELECT id::text, task_type, state, place, attempt, dispatch, sent_epoch,"
        " extract(epoch FROM now() - submitted_at)::int AS age FROM task_live ORDER BY id LIMIT 4"
    )
    ran = stack.effects.executions()
    with stack.redis() as connection:
        return "; ".join(
            f"{row}, claim {connection.hgetall(keys.claim(row['id']))}, ran {ran.get(row['id'], [])}" for row in rows
        )


def _take(result: Result, verdict: Verdict) -> None:
    result.executed, result.duplicated, result.lost = verdict.executed, verdict.duplicated, verdict.lost
    result.faults += verdict.faults[:12]
