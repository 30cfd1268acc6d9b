"""How Alembic reaches the database: the same settings as the service."""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import SchemaItem

from pointsman_service.settings import Settings
from pointsman_service.store.models import Base
from pointsman_service.store.upkeep.schema import MIGRATES_AS, is_ours

config = context.config


def _include(
    item: SchemaItem,
    name: str | None,
    kind: str,
    reflected: bool,
    compare_to: SchemaItem | None,
) -> bool:
    return kind != "table" or not reflected or is_ours(name or "")


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_object=_include,
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _run_online() -> None:
    url = config.get_main_option("sqlalchemy.url") or Settings().require_database_url()
    engine = create_async_engine(url, poolclass=pool.NullPool, connect_args={"server_settings": {"jit": "off"}})
    async with engine.connect() as connection:
        # Several services may start at once: the first migrates, the others wait and find it done.
        await connection.execute(text("SELECT pg_advisory_lock(hashtext('pointsman migrations'))"))
        role = config.get_main_option(MIGRATES_AS)
        if role:
            # What is made belongs to it. A migration of the audit, which does not, does without and takes it again.
            await connection.execute(text("SELECT set_config('pointsman.migrates_as', :role, false)"), {"role": role})
            await connection.execute(text("SELECT set_config('role', :role, false)"), {"role": role})
        await connection.commit()
        await connection.run_sync(_run)
    await engine.dispose()


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(_run_online())
