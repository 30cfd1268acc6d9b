"""The ASGI application of a process that has the API, and the document of that."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from pointsman_contract import RELEASE
from pointsman_service.api.routes import register
from pointsman_service.api.tasks.intake import Intake
from pointsman_service.app.process import Process, Role
from pointsman_service.dashboard.application import Dashboard
from pointsman_service.dashboard.mounting import mount
from pointsman_service.dashboard.rendering import open_with
from pointsman_service.front.callers import KnownCallers
from pointsman_service.front.door import Door
from pointsman_service.settings import Settings
from pointsman_service.telemetry import TELEMETRY_OFF


def create_app(settings: Settings, roles: Collection[Role] = tuple(Role)) -> Any:
    """The ASGI application of a process that has the API, with whatever other roles it was given.

    Its background loops run from ASGI startup to shutdown.
    """
    return application_of(Process(settings, {Role.API, *roles}))


def application_of(process: Process) -> Any:
    """The ASGI application of a process that has the API."""
    assert process.parts is not None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with process.running():
            yield

    telemetry = TELEMETRY_OFF if process.tracing is None else process.tracing.telemetry()
    application = _application(lifespan, telemetry)
    if process.tracing is not None:
        process.tracing.follow(application)
    application.state.parts = process.parts
    if process.parts.sealer is not None:
        open_with(process.parts.sealer)
    dashboard = Dashboard(process.parts)
    mount(application, dashboard)
    callers = KnownCallers(process.parts.keys, process.settings, process.parts.tokens)
    count = process.parts.refusals.count
    return Door(Intake(application, process.parts), process.settings, dashboard, callers, count)


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document of the API; needs no server."""
    return _application(None, TELEMETRY_OFF).openapi()


def _application(lifespan: Any, telemetry: Any) -> FastAPI:
    application = FastAPI(
        title="Pointsman",
        summary="A control plane for Celery.",
        version=RELEASE,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry=telemetry,
    )
    register(application)
    return application
