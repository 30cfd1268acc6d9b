from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.api.routes import register
from pointsman_service.app.parts import make_parts
from pointsman_service.front.door import Door
from pointsman_service.settings import Settings
from pointsman_service.store.workers import catalogue
from tests.integration.spine import Spine


def application(spine: Spine) -> FastAPI:
    """The API over the stages of a test, without their loops, and without what stands before it."""
    app = FastAPI(title="Pointsman", version="0", docs_url=None, redoc_url=None)
    known = Catalogue(spine.store)
    app.state.parts = make_parts(spine.settings, spine.store, known, spine.broker, spine.server, spine.commits)
    register(app)
    return app


def fronted(app: Any) -> Door:
    """``app`` behind what stands before it in a process."""
    return Door(app, Settings(allowed_hosts=("pointsman",)))


@pytest.fixture
def spine(closed_spine: Spine) -> Spine:
    """All stages. Most readers need no epoch, and opening one takes its time."""
    return closed_spine


@pytest.fixture
def app(closed_spine: Spine) -> FastAPI:
    return application(closed_spine)


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API. An error that the API did not expect is an answer and no exception."""
    transport = httpx.ASGITransport(fronted(app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://pointsman") as client:
        yield client


@pytest.fixture
def fresh_api(closed_spine: Spine) -> Callable[[], httpx.AsyncClient]:
    """Clients of an API that has kept no answer yet."""
    return lambda: httpx.AsyncClient(
        transport=httpx.ASGITransport(fronted(application(closed_spine))), base_url="http://pointsman"
    )


@pytest.fixture
def add_worker(closed_spine: Spine) -> Any:
    """Let a worker be seen ``age`` seconds ago."""

    async def add(name: str, queues: list[str], processes: int = 2, age: float = 0.0, owner: str | None = None) -> None:
        await closed_spine.run(
            "INSERT INTO worker (owner, name, pool, queues, processes, pid, host, contract, started_at, last_seen_at)"
            " VALUES (:owner, :name, :pool, CAST(:queues AS text[]), :processes, 7, 'host', 1, :started_at,"
            " now() - CAST(:age AS float8) * interval '1 second')",
            owner=owner or f"{name} {age}",
            name=name,
            pool=name.partition("@")[0],
            queues=queues,
            processes=processes,
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
            age=age,
        )

    return add


@pytest.fixture
def publish_types(closed_spine: Spine) -> Any:
    """Let a worker publish task types."""

    async def publish(*specs: TaskTypeSpec) -> None:
        async with closed_spine.store.statement() as connection:
            await catalogue.publish(connection, "w@h#1", specs)

    return publish
