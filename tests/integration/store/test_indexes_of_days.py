"""An index that a migration leaves to be built on big days is built beside those who write, and lacks nowhere after."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import text

from pointsman_service.console.index import build_indexes
from pointsman_service.database import create_engine
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import Connection, Store
from pointsman_service.store.tasks.listing import page_of
from pointsman_service.store.tasks.reading import TaskFilter
from pointsman_service.store.upkeep.indexes import lacking_indexes
from pointsman_service.store.upkeep.partitions import ensure_partitions, lowest_id, making, partition_name
from pointsman_service.store.upkeep.schema import alembic_config, migrate
from pointsman_service.store.upkeep.shape import lacking
from tests.stand.waiting import until

_ROWS = 4_500
"""Of 8 KB each: more than the migration takes upon itself."""


async def test_big_days_get_their_indexes_while_rows_are_written(
    postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres.create_database()
    script = ScriptDirectory.from_config(alembic_config(url)).get_revision("20261129_index_lists")
    assert script is not None
    await asyncio.to_thread(command.upgrade, alembic_config(url), str(script.down_revision))
    settings = Settings(database_url=url)
    store = Store(create_engine(settings, "test"))
    day = (datetime.now(UTC) - timedelta(days=2)).date()
    name = partition_name(day)
    insert = text(f"""
        INSERT INTO {name} (id, state, task_type, queue, priority, sla_seconds, timeout_seconds, due_at, caller, args,
            kwargs, tags) SELECT CAST(:prefix || lpad(to_hex(n), 8, '0') AS uuid), 'succeeded', 't', 'q', 1, 1, 1,
            now(), 'c', '[]', repeat('x', CAST(:long AS int)), '{{"n": "1"}}'
        FROM generate_series(CAST(:low AS int), CAST(:high AS int)) AS n
    """)
    midday = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    given = {"prefix": lowest_id(midday).hex[:24], "long": 7_700}
    try:
        async with store.transaction() as connection:
            await ensure_partitions(connection)
            for statement in making(name, day):
                await connection.execute(statement)
            await connection.execute(text(f"ALTER TABLE {name} ALTER kwargs SET STORAGE PLAIN"))
            await connection.execute(insert, given | {"low": 1, "high": _ROWS})
        await migrate(url)
        async with store.transaction() as connection:
            wanted = await lacking_indexes(connection)
            assert {one.day for one in wanted} == {name}
            assert len(wanted) == 3
            assert await lacking(connection) == [], "whoever needs the schema can work"
            # What is made from now on has them at once.
            for statement in making(partition_name(day - timedelta(days=1)), day - timedelta(days=1)):
                await connection.execute(statement)
            assert await lacking_indexes(connection) == wanted
            # One that was ended in the midst of it has left this.
            await connection.execute(text(f"CREATE INDEX {wanted[1].name} ON {name} (queue)"))
        assert len((await page_of(store, TaskFilter(tags=[[{"n": "1"}]]), 10)).rows) == 10
        async with store.transaction() as writing:
            await writing.execute(insert, given | {"low": _ROWS + 1, "high": _ROWS + 1})
            building = asyncio.ensure_future(build_indexes(settings))
            # It waits for this transaction and for nobody who comes later.
            async with store.statement() as connection:
                await _until_built(connection)
                await connection.execute(insert, given | {"low": _ROWS + 2, "high": _ROWS + 2})
        assert await building
        async with store.transaction() as connection:
            assert await lacking_indexes(connection) == []
            valid = text("SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = 'task'::regclass")
            assert (await connection.execute(valid)).scalar_one()
        assert f"1 of 3: {wanted[0].name}" in capsys.readouterr().out
        await asyncio.to_thread(command.check, alembic_config(url))
    finally:
        await store.close()


async def _until_built(connection: Connection) -> None:
    """Until ``CREATE INDEX CONCURRENTLY`` waits for those who write."""
    statement = text("SELECT count(*) FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting for writers%'")

    async def waits() -> bool:
        return bool((await connection.execute(statement)).scalar_one())

    await until(waits, "an index that is built beside writers")
