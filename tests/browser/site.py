"""One process of the API over a database of its own, served as a real one is, that can be stopped and started again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from pointsman_service.app.application import application_of
from pointsman_service.app.process import Process, Role
from pointsman_service.database import create_engine
from pointsman_service.embedded.ports import HOST, free_port
from pointsman_service.front.bounds import Bounds
from pointsman_service.front.connection import Connection
from pointsman_service.serving import Server, ServerConfig
from pointsman_service.settings import Settings
from pointsman_service.store.changes import LISTENED, Topic
from pointsman_service.store.store import Store
from tests.stand.waiting import until

ROOT = "/admin/tasks/dashboard/"
_TELL_ALL = text(f"INSERT INTO live_change (topic) SELECT unnest(CAST(:topics AS text[])) WHERE {LISTENED}")


class Site:
    """Serves the dashboard. Its background loops do not run, but for the one that hears what changed: what a test has
    written stays as it is.
    """

    def __init__(self, database_url: str, redis_url: str, **settings: Any) -> None:
        self.port = free_port()
        self.database_url = database_url
        self.settings = Settings(
            database_url=SecretStr(database_url), redis_url=SecretStr(redis_url), host=HOST, port=self.port, **settings
        )
        self.origin = f"http://{HOST}:{self.port}"
        self.url = self.origin + ROOT
        self.store = Store(create_engine(self.settings, "browser tests"))
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def dashboard(self) -> Any:
        """The dashboard of the process that runs now."""
        assert self._server is not None
        door: Any = self._server.config.app
        return door._pages

    async def start(self) -> None:
        """Serve."""
        process = Process(self.settings, {Role.API})
        assert process.parts is not None
        process._loops[:] = [process.parts.catalogue.loop, process.parts.changes.loop]
        process._led.clear()
        app = application_of(process)
        config = ServerConfig(
            app, host=HOST, port=self.port, log_config=None, access_log=False, server_header=False, http=Connection,
            ws="none", lifespan="on", timeout_graceful_shutdown=5,
        )  # fmt: skip
        config.bounds = Bounds.of(self.settings)
        server = self._server = Server(config, app)

        async def started() -> bool:
            return server.started

        self._serving = asyncio.create_task(server._serve())
        await until(started, "the server")

    async def stop(self) -> None:
        """As a deploy does."""
        assert self._server is not None
        assert self._serving is not None
        self._server.should_exit = True
        await self._serving

    async def run(self, statement: str, **parameters: object) -> list[Any]:
        """Any statement, committed; its rows. Whoever looks is told that something changed, as an installation tells
        of whatever changes.
        """
        async with self.store.transaction() as connection:
            found = await connection.execute(text(statement), parameters)
            rows = list(found) if found.returns_rows else None
            if rows is None:
                await connection.execute(_TELL_ALL, {"topics": list(Topic)})
            return rows or []

    @asynccontextmanager
    async def database_refusing(self) -> AsyncIterator[None]:
        """PostgreSQL lets nobody into this database, and throws out who is in it."""
        name = urlsplit(self.database_url).path.removeprefix("/")
        engine = create_async_engine(
            self.database_url.replace(f"/{name}?", "/postgres?"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        async with engine.connect() as connection:
            await connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
            await connection.execute(text(ended), {"name": name})
            try:
                yield
            finally:
                await connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))
        await engine.dispose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        await self.store.close()
