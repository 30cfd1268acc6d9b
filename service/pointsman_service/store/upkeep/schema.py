"""The schema's version: bring a database to the head, and say whether it is there."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from pointsman_contract.server_urls import password_of
from pointsman_contract.server_words import server_words
from pointsman_contract.settings_view import masked_url
from pointsman_service.errors import ServiceError
from pointsman_service.store.upkeep.partitions import PARTITION_PREFIX

_PACKAGE = Path(__file__).resolve().parents[2]
_MIGRATIONS = next(
    place for place in (_PACKAGE / "migrations", _PACKAGE.parents[1] / "migrations") if (place / "env.py").is_file()
)
"""A wheel has them inside the package, a checkout at its top."""


_STATEMENT_SHOWN = 200


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
        ("script_location", str(_MIGRATIONS)),
        ("path_separator", "os"),
        ("sqlalchemy.url", database_url),
    ):
        config.set_main_option(name, value.replace("%", "%%"))
    return config


async def migrate(database_url: str, revision: str = "head") -> None:
    """Bring the database to a revision. One caller at a time does the work; the others wait and find it done.

    Raises ``NotMigrated``, which says why in one line.
    """
    config = alembic_config(database_url)
    upgrades = revision in ("head", head())
    try:
        await asyncio.to_thread(
            command.upgrade if upgrades else command.downgrade, config, "head" if upgrades else revision
        )
    except CommandError as error:
        raise NotMigrated(f"The schema was not brought to {revision}: {error}") from error
    except (DBAPIError, OSError, TimeoutError) as error:
        where = masked_url(database_url.replace("+asyncpg", "", 1))
        words = server_words(error, password_of(database_url))
        statement = " ".join((getattr(error, "statement", None) or "").split())
        at = f" At: {statement[:_STATEMENT_SHOWN]}" if statement else ""
        raise NotMigrated(f"The schema of {where} was not brought to {revision}: {words}.{at}") from error


def head() -> str:
    """The newest revision of the migrations that came with this code."""
    found = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
    assert found is not None
    return found


async def revision_of(connection: AsyncConnection) -> str | None:
    """The revision a database is at; None when it was never migrated."""
    return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
