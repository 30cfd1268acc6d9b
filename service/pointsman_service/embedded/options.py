"""The command line and the environment of ``python -m pointsman_service.embedded``."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from pointsman_contract.configuration import PREFIX, ConfigurationFile
from pointsman_contract.run_file import DEFAULT_DATA_DIR
from pointsman_service.embedded.errors import InvalidOption
from pointsman_service.named_hosts import is_loopback
from pointsman_service.settings import Settings

DATABASE_URL = "POINTSMAN_DATABASE_URL"
REDIS_URL = "POINTSMAN_REDIS_URL"
DATA_DIR = "POINTSMAN_DATA_DIR"
PORT = "POINTSMAN_PORT"
TASK_MODULES = "POINTSMAN_TASK_MODULES"


class Pools(StrEnum):
    """Which workers are started."""

    FULL = "full"
    COMPACT = "compact"
    NONE = "none"


@dataclass(frozen=True)
class Options:
    """What to run. An URL given by the user replaces the embedded server."""

    data_dir: Path
    port: int = 8000
    """0: any free port."""
    pools: Pools = Pools.FULL
    demo: bool = False
    task_modules: str = ""
    """Modules of tasks that the workers have anyway."""
    database_url: str | None = None
    redis_url: str | None = None
    asks_for_keys: bool = False
    """Whether the API asks callers for keys."""


def with_file(environment: Mapping[str, str], file: ConfigurationFile | None) -> dict[str, str]:
    """The environment, completed by what the configuration file says of the settings that are options here."""
    entries = {} if file is None else file.entries
    variables = (DATABASE_URL, REDIS_URL, DATA_DIR, PORT, TASK_MODULES)
    named = {variable: variable.removeprefix(PREFIX).lower() for variable in variables}
    from_file = {variable: _text(entries[name].value) for variable, name in named.items() if name in entries}
    return from_file | dict(environment)


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def with_secrets(options: Options, settings: Settings) -> Options:
    """Servers of the user's own as the settings name them: the URL, or its password, may stand in a file."""
    if settings.database_url is not None and (options.database_url is None or settings.database_password is not None):
        options = replace(options, database_url=settings.require_database_url())
    if settings.redis_url is not None and (options.redis_url is None or settings.redis_password is not None):
        options = replace(options, redis_url=settings.require_redis_url())
    return options


def refuse_other_host(settings: Settings) -> None:
    """What it runs is reached from this machine alone. Raises InvalidOption where a setting wants another address."""
    if not is_loopback(settings.host):
        raise InvalidOption(
            f"this binds 127.0.0.1 alone, and {PREFIX}HOST says {settings.host}. Leave that out here; where others are "
            f"to reach it, run beside this: {PREFIX}HOST={settings.host} python -m pointsman_service api --port PORT"
        )


def parse_options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Options win over the environment, the environment over defaults. Raises InvalidOption; ``--help`` exits."""
    parser = argparse.ArgumentParser(
        prog="up",
        description="Run Pointsman on this machine: PostgreSQL, Valkey, the service and the worker pools, "
        "as children of one process that stops them in order.",
        epilog=f"{DATABASE_URL} and {REDIS_URL} each name a server of your own, which is then used instead of the "
        "embedded one. Other POINTSMAN_* settings are passed on as they are. Ctrl-C stops; a second one insists.",
    )
    parser.add_argument("--port", metavar="PORT", help=f"of the API on 127.0.0.1 (default ${PORT}, else 8000; 0: any)")
    parser.add_argument(
        "--data-dir", metavar="DIR", help=f"where data and logs are kept (default ${DATA_DIR}, else {DEFAULT_DATA_DIR})"
    )
    parser.add_argument(
        "--pools",
        choices=[str(pools) for pools in Pools],
        default=str(Pools.FULL),
        help="full: a Celery node per pool; compact: one node over all queues; none (default full)",
    )
    parser.add_argument(
        "--demo", action="store_true", help="a shop to look at: its tasks, a bank that fails now and then"
    )
    # scripts/up changes the directory; a relative --data-dir still means where the user stood.
    parser.add_argument("--relative-to", default=os.curdir, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    data_dir = given.data_dir or environment.get(DATA_DIR) or DEFAULT_DATA_DIR
    return Options(
        data_dir=Path(os.path.abspath(Path(given.relative_to) / Path(data_dir).expanduser())),
        port=_port(given.port or environment.get(PORT) or "8000"),
        pools=Pools(given.pools),
        demo=given.demo,
        task_modules=environment.get(TASK_MODULES, ""),
        database_url=environment.get(DATABASE_URL) or None,
        redis_url=environment.get(REDIS_URL) or None,
    )


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        raise InvalidOption(f"{text!r} is not a port: give a number from 0 to 65535 with --port or {PORT}.")
    return port
