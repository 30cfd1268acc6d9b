"""The schema's version: bring a database to the head, and say whether it is there."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncConnection

from pointsman_service.store.upkeep.partitions import PARTITION_PREFIX

_PACKAGE = Path(__file__).resolve().parents[2]
_MIGRATIONS = next(
    place for place in (_PACKAGE / "migrations", _PACKAGE.parents[1] / "migrations") if (place / "env.py").is_file()
)
"""A wheel has them inside the package, a checkout at its top."""


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
    """Bring the database to a revision. One caller at a time does the work; the others wait and find it done."""
    config = alembic_config(database_url)
    current = head()
    if revision in ("head", current):
        await asyncio.to_thread(command.upgrade, config, "head")
    else:
        await asyncio.to_thread(command.downgrade, config, revision)


def head() -> str:
    """The newest revision of the migrations that came with this code."""
    found = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
    assert found is not None
    return found


async def revision_of(connection: AsyncConnection) -> str | None:
    """The revision a database is at; None when it was never migrated."""
    return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
