"""``python -m service``: the processes of the control plane."""

import asyncio
import gc
import json
import signal
from collections.abc import Collection
from typing import Any

import typer
import uvicorn
from pydantic import ValidationError

from service.app import Process, Role, create_app, openapi_document
from service.database import create_engine
from service.settings import Settings
from service.store.partitions import ensure_partitions
from service.store.schema import migrate as migrate_schema
from service.store.store import Store
from service.telemetry import configure_logging, logger

log = logger(__name__)
cli = typer.Typer(
    add_completion=False, no_args_is_help=True, help="The Pointsman control plane.", pretty_exceptions_enable=False
)

_Host = typer.Option(None, help="Address to bind.", show_default="POINTSMAN_HOST, or 127.0.0.1")
_Port = typer.Option(None, help="Port to bind.", show_default="POINTSMAN_PORT, or 8000")


@cli.command()
def api(host: str | None = _Host, port: int | None = _Port) -> None:
    """Serve the HTTP API and publish what it accepts."""
    _serve(_settings(host, port), {Role.API})


@cli.command()
def dispatcher() -> None:
    """Keep the broker filled from the tasks that wait in Postgres."""
    _run_loops(_settings(), {Role.DISPATCHER})


@cli.command()
def recorder() -> None:
    """Record what workers report."""
    _run_loops(_settings(), {Role.RECORDER})


@cli.command()
def reconciler() -> None:
    """Find what fell out of the line and put it back."""
    _run_loops(_settings(), {Role.RECONCILER})


@cli.command(name="all")
def everything(host: str | None = _Host, port: int | None = _Port) -> None:
    """Serve the API and run every loop in one process."""
    _serve(_settings(host, port), set(Role))


@cli.command()
def migrate(revision: str = typer.Argument("head", help="Revision to go to; base undoes everything.")) -> None:
    """Bring the database to a revision of the schema."""
    settings = _settings()
    asyncio.run(_migrate(settings, revision))
    log.info("the schema is in place", revision=revision)


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document of the API."""
    typer.echo(json.dumps(openapi_document(), indent=2, ensure_ascii=False))


async def _migrate(settings: Settings, revision: str) -> None:
    await migrate_schema(settings.require_database_url(), revision)
    if revision != "head":
        return
    store = Store(create_engine(settings, "pointsman migrate"))
    try:
        async with store.transaction() as connection:
            await ensure_partitions(connection)
    finally:
        await store.close()


def _settings(host: str | None = None, port: int | None = None) -> Settings:
    given: dict[str, Any] = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False, include_context=False):
            name = "POINTSMAN_" + "__".join(str(part) for part in fault["loc"]).upper()
            typer.echo(f"{name}: {fault['msg']}", err=True)
        raise typer.Exit(2) from None
    settings.require_database_url()
    configure_logging(settings)
    return settings


def _serve(settings: Settings, roles: Collection[Role]) -> None:
    settings.require_redis_url()
    # uvicorn raises the signal that stopped it once more at the end: a stop that was asked for is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_cleanly)
    config = uvicorn.Config(
        create_app(settings, roles),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=10,
        lifespan="on",
    )
    # What was made until here stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    uvicorn.Server(config).run()


def _exit_cleanly(*_: object) -> None:
    raise SystemExit(0)


def _run_loops(settings: Settings, roles: Collection[Role]) -> None:
    settings.require_redis_url()
    asyncio.run(_until_told(Process(settings, roles), sorted(roles)))


async def _until_told(process: Process, roles: list[Role]) -> None:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with process.running():
        log.info("running", roles=roles)
        await told.wait()
        log.info("stopping")


if __name__ == "__main__":
    cli()
