"""PostgreSQL and Valkey for scenarios: one PostgreSQL for all that do not need their own, a fresh database and a fresh
Valkey for each, with proxies before them where a scenario wants to break the line.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.store.upkeep.schema import migrate
from tests.torture.installation import Plan, make_partitions
from tests.torture.proxy import Proxy

_TEMPLATE = "template_torture"
_SETTINGS = {"max_connections": "200"}

Given = tuple[PostgresServer, str, ValkeyServer, Proxy | None, Proxy | None]


class Servers:
    """What the scenarios of one call share."""

    def __init__(self, postgres: PostgresServer) -> None:
        self._postgres = postgres

    @classmethod
    @contextmanager
    def running(cls, directory: Path) -> Iterator[Self]:
        """PostgreSQL as in production: fsync on."""
        with PostgresServer(directory / "postgres", settings=_SETTINGS) as postgres:
            yield cls(postgres)

    async def make_template(self) -> None:
        """A migrated database to be copied."""
        await _migrated(self._postgres, _TEMPLATE)

    @asynccontextmanager
    async def of(self, plan: Plan, directory: Path) -> AsyncIterator[Given]:
        """What a plan asks for: PostgreSQL, the URL of a database, Valkey, and the proxies before both."""
        async with AsyncExitStack() as exits:
            valkey = exits.enter_context(
                ValkeyServer(directory / "valkey", settings=plan.valkey, appendonly=plan.appendonly)
            )
            if plan.postgres is None:
                postgres = self._postgres.start()
                database_url = postgres.create_database(template=_TEMPLATE)
                name = _name(database_url)
                exits.callback(lambda: postgres.start().drop_database(name))
            else:
                postgres = exits.enter_context(PostgresServer(directory / "own-postgres", settings=plan.postgres))
                database_url = await _migrated(postgres, "own")
            broker = database = None
            if plan.broker_proxy:
                broker = exits.enter_context(Proxy.to_port(valkey.port))
            if plan.database_proxy:
                database = exits.enter_context(Proxy.to_socket(postgres.socket_dir / ".s.PGSQL.5432"))
            yield postgres, database_url, valkey, broker, database

    @staticmethod
    def over_tcp(database_url: str, port: int) -> str:
        """The same database behind a port of this machine."""
        return f"postgresql+asyncpg://app@127.0.0.1:{port}/{_name(database_url)}"


def _name(database_url: str) -> str:
    return urlsplit(database_url).path.removeprefix("/")


async def _migrated(postgres: PostgresServer, name: str) -> str:
    url = postgres.create_database(name)
    await migrate(url)
    await make_partitions(url)
    return url
