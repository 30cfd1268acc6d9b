"""What every command of ``python -m pointsman_service`` begins and ends with: its settings, and what went wrong.

Loads neither the web framework nor a database driver.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import typer

from pointsman_contract.configuration import BadConfiguration, misspelt
from pointsman_contract.settings_view import read_settings
from pointsman_service.errors import ServiceError
from pointsman_service.settings import Settings

JSON: Final = typer.Option(False, "--json", help="Print JSON.")


def given_settings(**given: Any) -> Settings:
    """As variables and files give them, and these. Bad ones are told, and the command exits 2."""
    try:
        return read_settings(Settings, **given)
    except BadConfiguration as error:
        for line in error.lines:
            typer.echo(line, err=True)
        raise typer.Exit(2) from None


def settings_to_run(host: str | None = None, port: int | None = None) -> Settings:
    """The same, of a command that needs PostgreSQL; from here on it logs as they say."""
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = given_settings(**given)
    settings.require_database_url()
    from pointsman_service.telemetry import configure_logging, logger

    configure_logging(settings)
    log = logger(__name__)
    for line in misspelt():
        log.warning("a name that is no setting is passed over", name=line)
    return settings


@contextmanager
def failures_told() -> Iterator[None]:
    """What goes wrong in the block is told in a line, and the command exits 1."""
    try:
        yield
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
