"""A whole installation to be broken: service processes and worker nodes of its own, on a database and a Valkey that a
scenario may break too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from pointsman_service.embedded.valkey import ValkeyServer
from tests.stand.stack import Stack
from tests.torture import audit
from tests.torture.effects import VARIABLE, Effects

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

    _start_seconds = 120.0

    def __init__(
        self, plan: Plan, database_url: str, valkey: ValkeyServer, directory: Path, addresses: Mapping[str, str]
    ) -> None:
        """``addresses`` are variables that lead to proxies instead."""
        self.plan = plan
        self.effects = Effects(directory / "effects")
        super().__init__(
            database_url,
            valkey,
            directory,
            plan.children,
            {"POINTSMAN_TESTING": "1", VARIABLE: str(self.effects.path), **plan.variables, **addresses},
            modules=("tests.torture.tasks", "tests.stand.ledger_tasks"),
            services=plan.services,
            nodes=[f"node{number + 1}" for number in range(plan.nodes)],
        )

    async def prepare(self) -> None:
        """Let the database watch every move of a row."""
        async with self._engine.begin() as connection:
            await audit.install(connection)

    async def violations(self) -> list[str]:
        """Every illegal move of a row so far."""
        async with self._engine.connect() as connection:
            return await audit.violations(connection)

    async def do(self, sql: str, **parameters: object) -> None:
        """Do something to the database behind everybody's back."""
        async with self._engine.begin() as connection:
            await connection.execute(text(sql), parameters)


async def make_partitions(database_url: str) -> None:
    """Make the partitions of a migrated database, so that no sweep moves rows during a scenario."""
    from pointsman_service.store.upkeep.partitions import ensure_partitions

    engine = create_async_engine(database_url, poolclass=NullPool)
    async with engine.begin() as connection:
        await ensure_partitions(connection)
    await engine.dispose()
