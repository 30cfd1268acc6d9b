"""The whole of ``./scripts/up``, read from top to bottom."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pointsman_contract.run_file import RunFile
from pointsman_service.access import key_file
from pointsman_service.embedded.child import Tier
from pointsman_service.embedded.children import ChildSpec
from pointsman_service.embedded.data_dir import claimed
from pointsman_service.embedded.errors import ChildFailed, EmbeddedError
from pointsman_service.embedded.logs import Console
from pointsman_service.embedded.options import DATA_DIR, DATABASE_URL, REDIS_URL, Options, Pools
from pointsman_service.embedded.plan import ADMIN_KEY, DEMO_KEY, Plan, make_plan
from pointsman_service.embedded.ports import HOST, free_port, kept_port, require_free
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.readiness import Readiness
from pointsman_service.embedded.server import Server
from pointsman_service.embedded.supervisor import StopRequested, Supervisor
from pointsman_service.embedded.valkey import ValkeyServer

EARLIER_RUN_SECONDS = 15.0
SERVER_SECONDS = 60.0
MIGRATE_SECONDS = 300.0
READY_SECONDS = 120.0

MakeDir = Callable[[], Path]
PlanMaker = Callable[[Options], Plan]


def pointsman(options: Options) -> Plan:
    """The plan of ``./scripts/up``."""
    keys_dir = options.data_dir if options.asks_for_keys else None
    if keys_dir is not None and options.demo:
        try:
            key_file.draw(keys_dir / DEMO_KEY)
        except ValueError as error:
            raise EmbeddedError(str(error)) from error
    return make_plan(
        options.pools, options.port, demo=options.demo, task_modules=options.task_modules, keys_dir=keys_dir
    )


def up(options: Options, console: Console, plan_for: PlanMaker = pointsman) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP, then stop it in order.

    Raises EmbeddedError when it cannot start; what had started is stopped by then.
    """
    if os.geteuid() == 0:
        console.say(
            "up", "runs as root: whoever gets code into a task owns this machine (only PostgreSQL and Valkey do not)"
        )
    with claimed(options.data_dir) as make_runtime_dir:
        run_file = options.data_dir / "run.json"
        run_file.unlink(missing_ok=True)
        options = replace(options, port=options.port or free_port())
        require_free(options.port)
        plan = plan_for(options)
        with Supervisor(console, options.data_dir / "logs") as supervisor:
            try:
                _bring_up(supervisor, options, plan, make_runtime_dir, console)
                supervisor.watch()
            except StopRequested:
                console.say("up", "stopping (once more to insist)")
            except EmbeddedError:
                console.say("up", "could not start everything, stopping")
                raise
            finally:
                supervisor.stop()
                run_file.unlink(missing_ok=True)
        console.say("up", "stopped")


def _bring_up(
    supervisor: Supervisor, options: Options, plan: Plan, make_runtime_dir: MakeDir, console: Console
) -> None:
    database_url, redis_url = _start_servers(supervisor, options, make_runtime_dir, console)
    api_url = f"http://{HOST}:{options.port}"
    RunFile(supervisor_pid=os.getpid(), database_url=database_url, redis_url=redis_url, api_url=api_url).write(
        options.data_dir
    )
    environment = {**os.environ, DATA_DIR: str(options.data_dir), "PYTHONUNBUFFERED": "1"}
    # Servers of the user's own the children find as we did: a URL here would stand beside the file of its password.
    if options.database_url is None:
        environment[DATABASE_URL] = database_url
    if options.redis_url is None:
        environment[REDIS_URL] = redis_url
    for first in (plan.migrate, *plan.keys):
        supervisor.run_once(_with(first, environment), MIGRATE_SECONDS)
    console.say("up", "starting the service and the workers" if plan.workers else "starting the service")
    supervisor.start(_with(plan.service, environment), Tier.SERVICE)
    for worker in plan.workers:
        supervisor.start(_with(worker, environment), Tier.WORKERS)
    _wait_ready(supervisor, options)
    console.write(_welcome(options, api_url))
    if plan.demo is not None:
        supervisor.start(_with(plan.demo, environment), Tier.WORKERS)


def _start_servers(
    supervisor: Supervisor, options: Options, make_runtime_dir: MakeDir, console: Console
) -> tuple[str, str]:
    servers: list[tuple[Server, Tier]] = []
    database_url, redis_url = options.database_url, options.redis_url
    if database_url and redis_url:
        return database_url, redis_url
    runtime_dir = make_runtime_dir()
    valkey = None
    if redis_url is None:
        valkey = ValkeyServer(options.data_dir / "valkey", runtime_dir, has_password=True)
        servers.append((valkey, Tier.VALKEY))
    if database_url is None:
        postgres = PostgresServer(options.data_dir / "postgres", runtime_dir)
        servers.append((postgres, Tier.POSTGRES))
        database_url = postgres.url
    for server, tier in servers:
        console.say("up", f"starting {server.name} on {server.data_dir}")
        server.prepare()
        supervisor.wait_until(server.is_vacant, f"the end of an earlier {server.name}", EARLIER_RUN_SECONDS)
        if server is valkey:
            # Not before: an earlier one may hold it until here.
            valkey.port = kept_port(options.data_dir / "valkey.port")
            redis_url = valkey.url
        supervisor.start(server.spec(), tier)
    for server, _ in servers:
        # After a crash it may first go through what it had not put in order: that has no limit.
        what = f"{server.name} accepting connections"
        supervisor.wait_while_starting(server.is_ready, what, SERVER_SECONDS, deaths_allowed=1)
    assert redis_url is not None
    return database_url, redis_url


def _wait_ready(supervisor: Supervisor, options: Options) -> None:
    # Nothing publishes task types without workers, so fresh data would never become ready.
    ready = Readiness(options.port, "/livez" if options.pools is Pools.NONE else "/readyz")
    try:
        supervisor.wait_while_starting(ready, "the API being ready", READY_SECONDS, answer=lambda: ready.answer)
    except ChildFailed as error:
        raise ChildFailed(f"{error} (its last answer: {ready.answer})") from None


def _with(spec: ChildSpec, environment: Mapping[str, str]) -> ChildSpec:
    return replace(spec, environment={**environment, **(spec.environment or {})})


def _welcome(options: Options, api_url: str) -> str:
    lines = [
        "",
        "Pointsman is ready.",
        f"  Dashboard  {api_url}/admin/tasks/dashboard/",
        f"  API        {api_url}",
        f"  Docs       {api_url}/docs",
        f"  Readiness  {api_url}/readyz?verbose",
        f"  Data       {options.data_dir}",
    ]
    admin_key = options.data_dir / ADMIN_KEY
    key = "$POINTSMAN_API_KEY"
    if options.asks_for_keys and admin_key.exists():
        lines.append(f"  Key        of an admin, in {admin_key}")
        key = f"$(cat '{admin_key}')"
    elif options.asks_for_keys:
        lines.append("  Key        of an admin: one that was made before, by hand")
    if options.pools is Pools.NONE:
        lines.append("No workers were started (--pools none). Start them: ./scripts/celery_workers.sh start")
    else:
        body = '{"task_type": "noop"}'
        shown = f'-H "Authorization: Bearer {key}" ' if options.asks_for_keys else ""
        lines.append(f"  Try        curl -s {api_url}/v1/tasks {shown}-H 'Content-Type: application/json' -d '{body}'")
    return "\n".join([*lines, "Ctrl-C stops it.", ""])
