"""``python -m pointsman_service``: the processes of the control plane.

Each command imports what it runs, after its settings were found good: help, ``config`` and ``routes`` need neither the
web framework nor a database driver, and start in a third of the time.
"""

import asyncio
import gc
import json
import signal
from typing import TYPE_CHECKING, Any

import typer

from pointsman_contract.configuration import BadConfiguration, misspelt
from pointsman_contract.queues import MAX_PRIORITY
from pointsman_contract.settings_view import read_settings
from pointsman_service.limits import LEAST_WEIGHT, MOST_WEIGHT
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

keys_cli = typer.Typer(
    no_args_is_help=True,
    help="Keys of callers: make, list, rotate and revoke them. Needs PostgreSQL, migrated, and no API.",
    rich_markup_mode=None,
)
cli.add_typer(keys_cli, name="keys")

audit_cli = typer.Typer(
    no_args_is_help=True,
    help="What is kept of acts: look whether anybody changed it. Needs PostgreSQL, migrated, and no API.",
    rich_markup_mode=None,
)
cli.add_typer(audit_cli, name="audit")

_COLLECTED_AT = 10_000
"""New objects that may hold others."""

_Host = typer.Option(None, help="Address to bind.", show_default="POINTSMAN_HOST, or 127.0.0.1")
_Port = typer.Option(None, help="Port to bind.", show_default="POINTSMAN_PORT, or 8000")
_Json = typer.Option(False, "--json", help="Print JSON.")
_Key = typer.Argument(..., help="Its id, or the name of the one that is in use.")
_Reason = typer.Option(None, help="Why, for the log.")
_Scopes = typer.Option([], help="A right beside those of the preset; may be given several times.")
_TaskTypes = typer.Option([], help="Only this task type; may be given several times.")
_OnQueues = typer.Option([], help="Only this queue; may be given several times.")
_Provided = typer.Argument(
    ...,
    metavar="NAME=WHAT@FILE...",
    help="WHAT: a preset or scopes, by commas, such as workers=tasks:read,metrics:read@/run/secrets/workers_key.",
)
_ExpiresDays = typer.Option(None, min=0.0, help="Days until it expires.", show_default="never")
_Rate = typer.Option(
    None, help="How fast its caller may submit: tasks in seconds, as 100/60s.", show_default="as POINTSMAN_CALLER_RATE"
)
_Burst = typer.Option(None, min=1, help="How many tasks at once.", show_default="as many as --rate says")
_Quota = typer.Option(None, min=1, help="How many of its tasks may wait.", show_default="as POINTSMAN_CALLER_QUOTA")
_Weight = typer.Option(
    None,
    min=LEAST_WEIGHT,
    max=MOST_WEIGHT,
    help="How many turns its tasks have in a queue where those of others have one.",
    show_default="as POINTSMAN_CALLER_WEIGHTS",
)
_DAY_SECONDS = 86_400.0


@cli.command()
def api(host: str | None = _Host, port: int | None = _Port) -> None:
    """Serve the HTTP API and publish what it accepts.

    Needs PostgreSQL, migrated; without the broker it takes tasks in and they wait. Serves until SIGINT or SIGTERM, then
    ends what is under way and exits 0. Several may run at once. Exits 2 on a bad setting, 1 when it cannot start.
    """
    _serve(_settings(host, port), "api")


@cli.command()
def dispatcher() -> None:
    """Keep the broker filled from the tasks that wait in Postgres.

    Needs PostgreSQL, migrated, and the broker; waits for either when it is away. Several may run, one leads. Runs until
    SIGINT or SIGTERM, then exits 0. Exits 2 on a bad setting, 1 when no server is named.
    """
    _run_loops(_settings(), "dispatcher")


@cli.command()
def recorder() -> None:
    """Record what workers report.

    Needs PostgreSQL, migrated, and the broker; waits for either when it is away. Several may run, one leads. Runs until
    SIGINT or SIGTERM, then exits 0. Exits 2 on a bad setting, 1 when no server is named.
    """
    _run_loops(_settings(), "recorder")


@cli.command()
def reconciler() -> None:
    """Find what fell out of the line and put it back.

    Needs PostgreSQL, migrated, and the broker; waits for either when it is away. Several may run, one leads. Runs until
    SIGINT or SIGTERM, then exits 0. Exits 2 on a bad setting, 1 when no server is named.
    """
    _run_loops(_settings(), "reconciler")


@cli.command(name="all")
def everything(host: str | None = _Host, port: int | None = _Port) -> None:
    """Serve the API and run every loop in one process.

    Needs what api, dispatcher, recorder and reconciler need. Serves until SIGINT or SIGTERM, then exits 0. Exits 2 on a
    bad setting, 1 when it cannot start. Worker pools are started apart: ./scripts/celery_workers.sh.
    """
    _serve(_settings(host, port), "api", "dispatcher", "recorder", "reconciler")


@cli.command()
def migrate(revision: str = typer.Argument("head", help="Revision to go to; base undoes everything.")) -> None:
    """Bring the database to a revision of the schema.

    Needs PostgreSQL. Does nothing when the schema is there already. Exits 0 once it is in place, 2 on a bad setting,
    1 when it failed.
    """
    settings = _settings()
    from pointsman_service.errors import ServiceError

    try:
        asyncio.run(_migrate(settings, revision))
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@cli.command()
def index() -> None:
    """Build the indexes of ended tasks that a migration has left to be built, while everything runs.

    Needs PostgreSQL, migrated. Does nothing when all are there; may be ended at any moment, and called again. Lists of
    tasks are slower until then, and say how far they have looked. Exits 0 once all are there, 2 on a bad setting, 1
    when it failed, or another one is at it.
    """
    settings = _settings()
    from pointsman_service.console.index import build_indexes
    from pointsman_service.errors import ServiceError

    try:
        all_there = asyncio.run(build_indexes(settings))
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if not all_there:
        raise typer.Exit(1)


@cli.command()
def config(
    as_json: bool = _Json,
    check: bool = typer.Option(False, "--check", help="Only validate, and print nothing but what is wrong."),
) -> None:
    """Show every setting: its value, and where that came from.

    Settings come from POINTSMAN_* variables, then from the file or Python module that POINTSMAN_CONFIG names, then from
    defaults. Passwords are masked. Needs no server. Exits 0 when all are valid, else 2 with a line for each fault; with
    --check also for each POINTSMAN_* variable that is no setting.
    """
    settings = _read_settings()
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
    as_json: bool = _Json,
) -> None:
    """Say which queue and priority a task would get, and why.

    Needs no server, but asks PostgreSQL for the task type's own queue and priority; when that is away, or with
    --offline, it says so and goes by task_routes and priority alone. Exits 0, 1 when the task type or the queue does
    not exist, 2 on a bad setting.
    """
    settings = _read_settings()
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
def doctor(as_json: bool = _Json) -> None:
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
    as_json: bool = _Json,
) -> None:
    """Say why a task is where it is: what keeps it, since when, whether that ends by itself, and what to do.

    Says what GET /v1/tasks/{task_id}/explain and GET /v1/queues/{name}/explain say, without an API. Needs PostgreSQL,
    migrated; that Redis is away is a cause like others. Changes nothing. Exits 0, 1 when there is no such task or
    queue or PostgreSQL cannot be asked, 2 on a bad setting.
    """
    if (task_id is None) == (queue is None):
        raise typer.BadParameter("name one task, or a queue with --queue")
    settings = _settings()
    settings.require_redis_url()
    from pointsman_service.console.explain import explain_queue, explain_task, show_queue, show_task
    from pointsman_service.errors import ServiceError

    try:
        if task_id is not None:
            show_task(task_id, asyncio.run(explain_task(settings, task_id)), as_json=as_json)
        elif queue is not None:
            show_queue(queue, asyncio.run(explain_queue(settings, queue)), as_json=as_json)
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@keys_cli.command(name="create")
def create_key(
    name: str = typer.Argument(..., help="Of its caller: kept with the tasks that it submits, and with what it does."),
    preset: str | None = typer.Option(None, help="submitter, viewer, operator or admin."),
    scope: list[str] = _Scopes,
    task_type: list[str] = _TaskTypes,
    queue: list[str] = _OnQueues,
    expires_days: float | None = _ExpiresDays,
    rate: str | None = _Rate,
    burst: int | None = _Burst,
    quota: int | None = _Quota,
    weight: float | None = _Weight,
    reason: str | None = _Reason,
    as_json: bool = _Json,
) -> None:
    """Make a key, and print it: it is shown this once.

    The key stands alone on standard output, what it is on standard error. Exits 0, 1 when its name is taken or
    PostgreSQL cannot be asked, 2 on a bad setting.
    """
    settings = _settings()
    from pointsman_service.console import keys
    from pointsman_service.errors import ServiceError
    from pointsman_service.operate.handle_keys import wanted as wanted_key

    try:
        wanted = wanted_key(name, preset, scope, task_type, queue, _seconds(expires_days), rate, burst, quota, weight)
        keys.show_made(asyncio.run(keys.create(settings, wanted, reason)), as_json=as_json)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@keys_cli.command(name="draw")
def draw_key() -> None:
    """Print a key that opens nothing yet: for a file that `keys provide` is given.

    Needs no server. Exits 0.
    """
    from pointsman_service.access.token import new_token

    typer.echo(new_token())


@keys_cli.command(name="provide")
def provide_keys(wanted: list[str] = _Provided) -> None:
    """Let keys that stand in files open what is said of each; those that do already stay as they are.

    For installations whose secrets are files, such as containers: the file is made once, by `keys draw`, and this
    command runs at each start. Exits 0, 1 when a name is another key's or PostgreSQL cannot be asked, 2 on a bad
    setting or a file that holds no key.
    """
    settings = _settings()
    from pointsman_service.console import keys
    from pointsman_service.errors import ServiceError

    try:
        given = [keys.provided(one) for one in wanted]
        for line in asyncio.run(keys.provide(settings, given)):
            typer.echo(line)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@keys_cli.command(name="list")
def list_keys(as_json: bool = _Json) -> None:
    """Show all keys, the newest first, also those that open nothing more; never the keys themselves.

    Exits 0, 1 when PostgreSQL cannot be asked, 2 on a bad setting.
    """
    settings = _settings()
    from pointsman_service.console import keys
    from pointsman_service.errors import ServiceError

    try:
        keys.show_list(asyncio.run(keys.every(settings)), as_json=as_json)
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@keys_cli.command(name="limit")
def limit_key(
    key: str = _Key,
    rate: str | None = _Rate,
    burst: int | None = _Burst,
    quota: int | None = _Quota,
    weight: float | None = _Weight,
    reason: str | None = _Reason,
    as_json: bool = _Json,
) -> None:
    """Say how fast the caller of a key may submit, how much, and its share, within two seconds in every process.

    What is left out is no longer said with the key. Exits 0, 1 when there is no such key, it is revoked, or PostgreSQL
    cannot be asked, 2 on a bad setting.
    """
    settings = _settings()
    from pointsman_service.console import keys
    from pointsman_service.errors import ServiceError
    from pointsman_service.limits import rate_of

    try:
        limited = keys.limit(settings, key, rate_of(rate, burst), quota, weight, reason)
        keys.show_one(asyncio.run(limited), as_json=as_json)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@keys_cli.command(name="rotate")
def rotate_key(
    key: str = _Key,
    overlap_hours: float = typer.Option(24.0, min=0.0, help="How much longer the old one opens what it did."),
    expires_days: float | None = typer.Option(
        None, min=0.0, help="Days until the new one expires.", show_default="as long as the old one was to last"
    ),
    reason: str | None = _Reason,
    as_json: bool = _Json,
) -> None:
    """Put another key in the place of one, and print it: it has the same name and the same rights.

    With --overlap-hours 0 the old one opens nothing from now on, as it should be when it leaked. Exits 0, 1 when there
    is no such key, it is revoked or was rotated, or PostgreSQL cannot be asked, 2 on a bad setting.
    """
    settings = _settings()
    from pointsman_service.console import keys
    from pointsman_service.errors import ServiceError

    try:
        made = asyncio.run(keys.rotate(settings, key, overlap_hours * 3600.0, _seconds(expires_days), reason))
        keys.show_made(made, as_json=as_json)
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@keys_cli.command(name="revoke")
def revoke_key(key: str = _Key, reason: str | None = _Reason, as_json: bool = _Json) -> None:
    """Let a key open nothing more, within two seconds in every process. That cannot be undone.

    Exits 0, 1 when there is no such key or PostgreSQL cannot be asked, 2 on a bad setting.
    """
    settings = _settings()
    from pointsman_service.console import keys
    from pointsman_service.errors import ServiceError

    try:
        keys.show_one(asyncio.run(keys.revoke(settings, key, reason)), as_json=as_json)
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@keys_cli.command(name="sign-out")
def sign_out(
    name: str = typer.Argument(..., help="Of the caller: a key, or oidc:… of somebody whom the issuer knows."),
) -> None:
    """End every session of somebody in the dashboard, within two seconds in every process, and print how many.

    Who may sign in again does so. Exits 0, 1 when PostgreSQL cannot be asked, 2 on a bad setting.
    """
    settings = _settings()
    from pointsman_service.console import keys
    from pointsman_service.errors import ServiceError

    try:
        typer.echo(asyncio.run(keys.sign_out(settings, name)))
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@audit_cli.command(name="verify")
def verify_audit(
    head: str | None = typer.Option(None, help="A hash that was told before: it must still be in its place."),
    as_json: bool = _Json,
) -> None:
    """Look through what is kept of acts, and find every entry that was changed, removed or put between.

    Says how many there are and the hash of the last: who keeps that elsewhere can prove later that nothing of before
    was written anew. Exits 0, 1 when something is wrong or PostgreSQL cannot be asked, 2 on a bad setting.
    """
    settings = _settings()
    from pointsman_service.console.audit import show_verdict, verify
    from pointsman_service.errors import ServiceError

    try:
        verdict = asyncio.run(verify(settings, head))
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    show_verdict(verdict, as_json=as_json)
    if verdict.faults:
        raise typer.Exit(1)


def _seconds(days: float | None) -> float | None:
    return None if days is None else days * _DAY_SECONDS


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


def _read_settings(**given: Any) -> Settings:
    try:
        return read_settings(Settings, **given)
    except BadConfiguration as error:
        for line in error.lines:
            typer.echo(line, err=True)
        raise typer.Exit(2) from None


def _settings(host: str | None = None, port: int | None = None) -> Settings:
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = _read_settings(**given)
    settings.require_database_url()
    from pointsman_service.telemetry import configure_logging, logger

    configure_logging(settings)
    log = logger(__name__)
    for line in misspelt():
        log.warning("a name that is no setting is passed over", name=line)
    return settings


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
