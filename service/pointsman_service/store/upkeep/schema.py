"""The schema: bring a database to a revision of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import NullPool, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from pointsman_contract.server_urls import password_of
from pointsman_contract.server_words import server_words
from pointsman_contract.settings_view import masked_url
from pointsman_service.errors import ServiceError
from pointsman_service.store.upkeep.partitions import PARTITION_PREFIX
from pointsman_service.store.upkeep.revision import MIGRATIONS, head
from pointsman_service.store.upkeep.roles import prepare, settle

_STATEMENT_SHOWN = 200
MIGRATES_AS = "pointsman.migrates_as"
"""The option of Alembic that names the role to migrate as, where that is another than who connects."""


# As migrations have it: who cannot have a table at once lets those who use it go on.
_PATIENCE = text("SET LOCAL lock_timeout = '5s'")


class NotMigrated(ServiceError):
    """The schema is not at the revision that was asked for."""


def is_ours(table: str) -> bool:
    """Whether the models describe this table; partitions are made by ``store.upkeep.partitions``, not by models."""
    return table != "task_default" and not table.startswith(PARTITION_PREFIX)


def alembic_config(database_url: str) -> Config:
    """Alembic's configuration for one database."""
    # Not from alembic.ini, which is for the command line: an installed package does not have it.
    config = Config()
    for name, value in (
        ("script_location", str(MIGRATIONS)),
        ("path_separator", "os"),
        ("sqlalchemy.url", database_url),
    ):
        config.set_main_option(name, value.replace("%", "%%"))
    return config


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns the audit, where that is not the role of the service."""

    url: str
    """Of the same database."""
    kept_days: float
    """No entry leaves earlier."""


async def migrate(database_url: str, revision: str = "head", owner: Owner | None = None) -> None:
    """Bring the database to a revision. One caller at a time does the work; the others wait and find it done.

    With an owner, the user of ``database_url`` is made if it is not there, owns all but the audit afterwards, and can
    only add to that. Raises ``NotMigrated``, which says why in one line.
    """
    upgrades = revision in ("head", head())
    role = make_url(database_url).username
    if owner is not None and make_url(owner.url).username == role:
        owner = None
    config = alembic_config(database_url if owner is None else owner.url)
    if owner is not None:
        config.set_main_option(MIGRATES_AS, str(role).replace("%", "%%"))
    try:
        if owner is not None:
            password = password_of(database_url)
            await _as_owner(owner, lambda connection: prepare(connection, str(role), next(iter(password), None)))
        await asyncio.to_thread(
            command.upgrade if upgrades else command.downgrade, config, "head" if upgrades else revision
        )
        if owner is not None and upgrades:
            kept_days = owner.kept_days
            await _as_owner(owner, lambda connection: settle(connection, str(role), kept_days))
    except CommandError as error:
        raise NotMigrated(f"The schema was not brought to {revision}: {error}") from error
    except (DBAPIError, OSError, TimeoutError) as error:
        url = database_url if owner is None else owner.url
        where = masked_url(url.replace("+asyncpg", "", 1))
        words = server_words(error, [*password_of(database_url), *password_of(url)])
        statement = " ".join((getattr(error, "statement", None) or "").split())
        at = f" At: {statement[:_STATEMENT_SHOWN]}" if statement else ""
        raise NotMigrated(f"The schema of {where} was not brought to {revision}: {words}.{at}") from error


async def _as_owner(owner: Owner, deed: Callable[[AsyncConnection], Awaitable[None]]) -> None:
    engine = create_async_engine(owner.url, poolclass=NullPool, hide_parameters=True)
    async with engine.begin() as connection:
        await connection.execute(_PATIENCE)
        await deed(connection)
    await engine.dispose()
