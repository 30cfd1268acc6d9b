"""A whole installation to be broken: service processes and worker nodes of its own, on a database and a Valkey that a
scenario may break too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from pointsman_service.embedded.ports import HOST, free_port
from pointsman_service.embedded.valkey import ValkeyServer
from tests.acceptance.processes import Child
from tests.acceptance.stack import GONE, QUEUES, Stack
from tests.acceptance.waiting import until
from tests.torture import audit
from tests.torture.effects import VARIABLE, Effects

_CELERY = ("-m", "celery", "-A", "pointsman", "worker", "--without-gossip", "--without-mingle", "-l", "WARNING")
ALL = ("all",)
APART = ("api", "dispatcher", "recorder", "reconciler")


class Beside(Protocol):
    """An async context manager of servers, and the variables by which the installation finds them."""

    @property
    def variables(self) -> Mapping[str, str]:
        """Once they run."""
        ...

    async def __aenter__(self) -> Self:
        """Start them."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop them."""
        ...


@dataclass(frozen=True)
class Plan:
    """What a scenario wants to have."""

    services: tuple[str, ...] = ALL
    """Roles of the service processes, one process each; those with the API get a port each."""
    nodes: int = 2
    children: int = 2
    variables: Mapping[str, str] = field(default_factory=dict)
    """Settings of every process."""
    appendonly: bool = True
    """Whether Valkey keeps its data over a crash."""
    valkey: Mapping[str, str] = field(default_factory=dict)
    postgres: Mapping[str, str] | None = None
    """Settings of a PostgreSQL of its own; None: the one that all share."""
    broker_proxy: bool = False
    """Everybody reaches Valkey through a proxy."""
    database_proxy: bool = False
    beside: Callable[[], "Beside"] | None = None
    """Servers of other people that run beside it."""


class Installation(Stack):
    """An async context manager that leaves no process behind."""

    def __init__(
        self, plan: Plan, database_url: str, valkey: ValkeyServer, directory: Path, addresses: Mapping[str, str]
    ) -> None:
        """``addresses`` are variables that lead to proxies instead."""
        self.effects = Effects(directory / "effects")
        super().__init__(
            database_url,
            valkey,
            directory,
            plan.nodes * plan.children,
            {
                "POINTSMAN_TASK_MODULES": "tests.torture.tasks,tests.acceptance.ledger_tasks",
                "POINTSMAN_TESTING": "1",
                VARIABLE: str(self.effects.path),
                # Faults are made by the dozen here, and no task is to be held for them.
                "POINTSMAN_CIRCUIT_BREAKER": '{"failure_threshold": 10000}',
                **plan.variables,
                **addresses,
            },
        )
        self.plan = plan
        self.services: list[Child] = []
        self.urls: list[str] = []
        for number, role in enumerate(plan.services):
            words = ["-m", "pointsman_service", role]
            if role in ("all", "api"):
                port = self.port if not self.urls else free_port()
                words += ["--port", str(port)]
                self.urls.append(f"http://{HOST}:{port}")
            self.services.append(self._child(f"{role}{number + 1}", words))
        self.nodes = [self._node(number + 1) for number in range(plan.nodes)]
        self.others: list[Child] = []
        self.service = self.services[0]

    def _node(self, number: int) -> Child:
        words = ["-Q", ",".join(QUEUES), "-c", str(self.plan.children), "-n", f"node{number}@%h"]
        return self._child(f"node{number}", [*_CELERY, *words])

    def other(self, name: str, words: list[str]) -> Child:
        """One more process, not started yet; killed at the end."""
        child = self._child(name, words)
        self.others.append(child)
        return child

    def role(self, name: str) -> Child:
        """The service process of that role."""
        return self.services[self.plan.services.index(name)]

    async def __aenter__(self) -> Self:
        try:
            async with self._engine.begin() as connection:
                await audit.install(connection)
            for child in self._children:
                child.start()
            await self.ready()
        except BaseException as error:
            error.add_note(self.last_lines())
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self._children):
            child.kill()
        await self.http.aclose()
        await self._engine.dispose()

    async def ready(self) -> None:
        """Return once every process runs and a task submitted now would run at once."""
        await until(self.is_ready, "the installation to be ready", 120)

    async def is_ready(self) -> bool:
        """Whether a task submitted now would run at once, on any of the API processes and any of the nodes."""
        for child in self._children:
            if not child.is_running:
                raise RuntimeError(f"{child.name} ended")
        for url in self.urls:
            try:
                answer = await self.http.get(f"{url}/readyz?verbose")
            except GONE:
                return False
            if answer.status_code != 200 or not all(part["ok"] for part in answer.json()["parts"].values()):
                return False
        living = await self.rows("SELECT pid FROM worker WHERE last_seen_at > now() - interval '8 seconds'")
        return {row["pid"] for row in living} >= {node.pid for node in self.nodes}

    async def violations(self) -> list[str]:
        """Every illegal move of a row so far."""
        async with self._engine.connect() as connection:
            return await audit.violations(connection)

    async def do(self, sql: str, **parameters: object) -> None:
        """Do something to the database behind everybody's back."""
        async with self._engine.begin() as connection:
            await connection.execute(text(sql), parameters)

    def last_lines(self) -> str:
        """What its processes said last."""
        return "\n".join(f"--- {child.name}\n{child.last_lines()}" for child in self._children)

    def client_of(self, url: str, seconds: float = 40.0) -> httpx.AsyncClient:
        """A client of one API process, to be closed."""
        return httpx.AsyncClient(base_url=url, timeout=seconds, trust_env=False)

    @property
    def _children(self) -> list[Child]:
        return [*self.services, *self.nodes, *self.others]


async def prepare(database_url: str) -> None:
    """Make the partitions of a migrated database, so that no sweep moves rows during a scenario."""
    from pointsman_service.store.partitions import ensure_partitions

    engine = create_async_engine(database_url, poolclass=NullPool)
    async with engine.begin() as connection:
        await ensure_partitions(connection)
    await engine.dispose()
