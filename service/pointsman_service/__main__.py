"""``python -m pointsman_service``: the processes of the control plane.

Each command imports what it runs, after its settings were found good: help, ``config`` and ``routes`` need neither the
web framework nor a database driver, and start in a third of the time.
"""

import asyncio
import gc
import json
import signal
from typing import TYPE_CHECKING

import typer

from pointsman_contract.configuration import misspelt
from pointsman_contract.queues import MAX_PRIORITY
from pointsman_service.console.audit_commands import audit_cli
from pointsman_service.console.given import JSON, failures_told, given_settings, settings_to_run
from pointsman_service.console.keys_commands import keys_cli
from pointsman_service.settings import Settings

if TYPE_CHECKING:
    from pointsman_service.app import Process

cli = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The Pointsman control plane. Each command has its own --help.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

cli.add_typer(keys_cli, name="keys")
cli.add_typer(audit_cli, name="audit")

_COLLECTED_AT = 10_000
"""New objects that may hold others."""

_Host = typer.Option(None, help="Address to bind.", show_default="POINTSMAN_HOST, or 127.0.0.1")
_Port = typer.Option(None, help="Port to bind.", show_default="POINTSMAN_PORT, or 8000")


@cli.command()
def api(host: str | None = _Host, port: int | None = _Port) -> None:
    """Serve the HTTP API and publish what it accepts.

    Needs PostgreSQL, migrated; without the broker it takes tasks in and they wait. Serves until SIGINT or SIGTERM, then
    ends what is under way and exits 0. Several may run at once. Exits 2 on a bad setting, 1 when it cannot start.
    """
    _serve(settings_to_run(host, port), "api")


@cli.command()
def dispatcher() -> None:
    """Keep the broker filled from the tasks that wait in Postgres.

    Needs PostgreSQL, migrated, and the broker; waits for either when it is away. Several may run, one leads. Runs until
    SIGINT or SIGTERM, then exits 0. Exits 2 on a bad setting, 1 when no server is named.
    """
    _run_loops(settings_to_run(), "dispatcher")


@cli.command()
def recorder() -> None:
    """Record what workers report.

    Needs PostgreSQL, migrated, and the broker; waits for either when it is away. Several may run, one leads. Runs until
    SIGINT or SIGTERM, then exits 0. Exits 2 on a bad setting, 1 when no server is named.
    """
    _run_loops(settings_to_run(), "recorder")


@cli.command()
def reconciler() -> None:
    """Find what fell out of the line and put it back.

    Needs PostgreSQL, migrated, and the broker; waits for either when it is away. Several may run, one leads. Runs until
    SIGINT or SIGTERM, then exits 0. Exits 2 on a bad setting, 1 when no server is named.
    """
    _run_loops(settings_to_run(), "reconciler")


@cli.command(name="all")
def everything(host: str | None = _Host, port: int | None = _Port) -> None:
    """Serve the API and run every loop in one process.

    Needs what api, dispatcher, recorder and reconciler need. Serves until SIGINT or SIGTERM, then exits 0. Exits 2 on a
    bad setting, 1 when it cannot start. Worker pools are started apart: ./scripts/celery_workers.sh.
    """
    _serve(settings_to_run(host, port), "api", "dispatcher", "recorder", "reconciler")


@cli.command()
def migrate(revision: str = typer.Argument("head", help="Revision to go to; base undoes everything.")) -> None:
    """Bring the database to a revision of the schema.

    Needs PostgreSQL. Does nothing when the schema is there already. Exits 0 once it is in place, 2 on a bad setting,
    1 when it failed.
    """
    settings = settings_to_run()
    with failures_told():
        asyncio.run(_migrate(settings, revision))


@cli.command()
def index() -> None:
    """Build the indexes of ended tasks that a migration has left to be built, while everything runs.

    Needs PostgreSQL, migrated. Does nothing when all are there; may be ended at any moment, and called again. Lists of
    tasks are slower until then, and say how far they have looked. Exits 0 once all are there, 2 on a bad setting, 1
    when it failed, or another one is at it.
    """
    settings = settings_to_run()
    from pointsman_service.console.index import build_indexes

    with failures_told():
        all_there = asyncio.run(build_indexes(settings))
    if not all_there:
        raise typer.Exit(1)


@cli.command()
def config(
    as_json: bool = JSON,
    check: bool = typer.Option(False, "--check", help="Only validate, and print nothing but what is wrong."),
) -> None:
    """Show every setting: its value, and where that came from.

    Settings come from POINTSMAN_* variables, then from the file or Python module that POINTSMAN_CONFIG names, then from
    defaults. Passwords are masked. Needs no server. Exits 0 when all are valid, else 2 with a line for each fault; with
    --check also for each POINTSMAN_* variable that is no setting.
    """
    settings = given_settings()
    if check:
        lines = misspelt()
        for line in lines:
            typer.echo(line, err=True)
        raise typer.Exit(2 if lines else 0)
    from pointsman_service.console.config import show_config

    show_config(settings, as_json=as_json)


@cli.command()
def routes(
    task_type: str | None = typer.Argument(None, help="The task type to explain; without it the queues are shown."),
    queue: str | None = typer.Option(None, help="The queue the submission names."),
    priority: int | None = typer.Option(None, min=0, max=MAX_PRIORITY, help="The priority the submission names."),
    offline: bool = typer.Option(False, "--offline", help="Do not ask the database for the task type's own queue."),
    as_json: bool = JSON,
) -> None:
    """Say which queue and priority a task would get, and why.

    Needs no server, but asks PostgreSQL for the task type's own queue and priority; when that is away, or with
    --offline, it says so and goes by task_routes and priority alone. Exits 0, 1 when the task type or the queue does
    not exist, 2 on a bad setting.
    """
    settings = given_settings()
    from pointsman_service.admit.routing import decide
    from pointsman_service.console.routes import NotPublished, ask_catalogue, show_decision, show_table, unasked
    from pointsman_service.errors import UnknownQueue

    if task_type is None:
        if queue is not None or priority is not None:
            raise typer.BadParameter("--queue and --priority need a task type")
        show_table(settings, as_json=as_json)
        return
    try:
        asked = (
            unasked(task_type, "the database was not asked (--offline)")
            if offline
            else asyncio.run(ask_catalogue(settings, task_type))
        )
        decision = decide(settings, asked.spec, queue, priority)
    except (NotPublished, UnknownQueue) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    show_decision(settings, asked, decision, as_json=as_json)


@cli.command()
def doctor(as_json: bool = JSON) -> None:
    """Look at every part once, and say of each in a line how it is and what to do.

    Looks at the settings, PostgreSQL, Redis, who leads, the recorder, the workers of every queue, time limits and the
    channels of alerts. Needs no server: what does not answer within two seconds is said so. Changes nothing, and shows
    no password. Exits 0 when all is well, 1 with warnings, 2 with faults.
    """
    from pointsman_service.console.doctor.command import look

    raise typer.Exit(look(as_json=as_json))


@cli.command()
def explain(
    task_id: str | None = typer.Argument(None, help="The task."),
    queue: str | None = typer.Option(None, help="Instead: why nothing of this queue starts faster."),
    as_json: bool = JSON,
) -> None:
    """Say why a task is where it is: what keeps it, since when, whether that ends by itself, and what to do.

    Says what GET /v1/tasks/{task_id}/explain and GET /v1/queues/{name}/explain say, without an API. Needs PostgreSQL,
    migrated; that Redis is away is a cause like others. Changes nothing. Exits 0, 1 when there is no such task or
    queue or PostgreSQL cannot be asked, 2 on a bad setting.
    """
    if (task_id is None) == (queue is None):
        raise typer.BadParameter("name one task, or a queue with --queue")
    settings = settings_to_run()
    settings.require_redis_url()
    from pointsman_service.console.explain import explain_queue, explain_task, show_queue, show_task

    with failures_told():
        if task_id is not None:
            show_task(task_id, asyncio.run(explain_task(settings, task_id)), as_json=as_json)
        elif queue is not None:
            show_queue(queue, asyncio.run(explain_queue(settings, queue)), as_json=as_json)


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document of the API.

    Needs no server. Exits 0.
    """
    from pointsman_service.app.application import openapi_document

    typer.echo(json.dumps(openapi_document(), indent=2, ensure_ascii=False))


async def _migrate(settings: Settings, revision: str) -> None:
    from pointsman_service.database import create_engine
    from pointsman_service.store.store import Store
    from pointsman_service.store.upkeep.indexes import lacking_indexes
    from pointsman_service.store.upkeep.partitions import ensure_partitions
    from pointsman_service.store.upkeep.schema import Owner
    from pointsman_service.store.upkeep.schema import migrate as migrate_schema
    from pointsman_service.telemetry import logger

    url = settings.owner_url()
    owner = None if url is None else Owner(url, settings.audit_days)
    await migrate_schema(settings.require_database_url(), revision, owner)
    if revision == "head":
        store = Store(create_engine(settings, "pointsman migrate"))
        try:
            async with store.transaction() as connection:
                await ensure_partitions(connection)
                lacking = len(await lacking_indexes(connection))
        finally:
            await store.close()
        if lacking:
            logger(__name__).warning("indexes of ended tasks are still to be built", indexes=lacking, by="index")
    logger(__name__).info("the schema is in place", revision=revision)


def _serve(settings: Settings, *roles: str) -> None:
    settings.require_redis_url()
    _refuse_unknown_roles(settings)
    _refuse_without_admin(settings)
    # Nothing of what is read and made now is thrown away, and looking it through takes a tenth of the time to start.
    gc.disable()
    from pointsman_service.app.application import create_app
    from pointsman_service.app.process import Role
    from pointsman_service.front.bounds import Bounds
    from pointsman_service.front.connection import Connection
    from pointsman_service.serving import Server, ServerConfig

    # uvicorn raises the signal that stopped it once more at the end: a stop that was asked for is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_cleanly)
    app = create_app(settings, [Role(role) for role in roles])
    bounds = Bounds.of(settings)
    config = ServerConfig(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        # Nobody here asks for the caller's address or scheme, and every request would be looked through for them.
        proxy_headers=False,
        timeout_graceful_shutdown=10,
        http=Connection,
        ws="none",
        lifespan="on",
    )
    config.bounds = bounds
    _spare_the_collector()
    Server(config, app).run()


def _refuse_unknown_roles(settings: Settings) -> None:
    """A right that is misspelt would be missed by whoever should have it."""
    from pointsman_service.access.roles import Roles

    try:
        Roles(settings)
    except ValueError as error:
        typer.echo(f"POINTSMAN_OIDC_ROLES: {error}", err=True)
        raise typer.Exit(2) from None


def _refuse_without_admin(settings: Settings) -> None:
    """Nobody could do anything where keys are asked for and there is none that makes others."""
    if not settings.asks_for_keys:
        return
    from pointsman_service.console.keys import lacks_admin

    if asyncio.run(lacks_admin(settings)):
        typer.echo(
            f"The API asks callers for keys (it binds {settings.host}), and there is no key of an admin."
            " Make one first:\n  python -m pointsman_service keys create admin --preset admin",
            err=True,
        )
        raise typer.Exit(1)


def _exit_cleanly(*_: object) -> None:
    raise SystemExit(0)


def _run_loops(settings: Settings, role: str) -> None:
    settings.require_redis_url()
    # As before a process that serves.
    gc.disable()
    from uvicorn.loops.auto import auto_loop_factory

    from pointsman_service.app import Process, Role

    process = Process(settings, {Role(role)})
    _spare_the_collector()
    # The API's loop, uvloop where there is one.
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(_until_stopped(process, role))


def _spare_the_collector() -> None:
    # What was made until here stays: it need not be looked at again and again.
    gc.collect()
    gc.freeze()
    # A batch of tasks makes thousands of objects and no circle; at Python's 700 it is looked through many times over.
    gc.set_threshold(_COLLECTED_AT)
    gc.enable()


async def _until_stopped(process: "Process", role: str) -> None:
    from pointsman_service.telemetry import logger

    log = logger(__name__)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with process.running():
        log.info("running", roles=[role])
        await stop.wait()
        log.info("stopping")


if __name__ == "__main__":
    cli()
