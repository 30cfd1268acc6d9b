import asyncio
import os
import sys

from alembic import command
from sqlalchemy import TextClause, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from pointsman_contract.dependencies import folded
from pointsman_contract.states import PLACES, TERMINAL, TaskState
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.store.upkeep.revision import head, revision_of
from pointsman_service.store.upkeep.schema import alembic_config, migrate
from pointsman_service.store.upkeep.shape import lacking


async def test_the_models_match_the_head(database_url: str) -> None:
    await asyncio.to_thread(command.check, alembic_config(database_url))


async def test_down_to_base_leaves_nothing_and_up_again_works(postgres: PostgresServer) -> None:
    url = postgres.create_database()
    await migrate(url)
    await migrate(url, "base")
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        tables = await connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        assert set(tables.scalars()) == {"alembic_version"}
        assert await revision_of(connection) is None
    await migrate(url)
    async with engine.connect() as connection:
        assert await revision_of(connection) == head()
    await engine.dispose()


async def test_a_database_that_ran_an_older_order_is_mended(postgres: PostgresServer) -> None:
    """The alerts came before circuit breakers could hold tasks, which stand below them now."""
    url = postgres.create_database()
    await asyncio.to_thread(command.upgrade, alembic_config(url), "20261125_add_circuit_breakers")
    await asyncio.to_thread(command.stamp, alembic_config(url), "20261126_let_breakers_hold")
    await asyncio.to_thread(command.upgrade, alembic_config(url), "20261126_index_held_types")
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        lacks = await lacking(connection)
        assert {"task_live.dependencies", "task.held_seconds", "ix_breaker_not_closed"} <= set(lacks)
    await migrate(url)
    async with engine.connect() as connection:
        assert await lacking(connection) == []
        assert await revision_of(connection) == head()
    await asyncio.to_thread(command.check, alembic_config(url))
    await migrate(url, "base")
    await engine.dispose()


async def test_a_breaker_keeps_what_was_set_by_hand_under_the_folded_name_of_its_dependency(
    postgres: PostgresServer,
) -> None:
    url = postgres.create_database()
    await asyncio.to_thread(command.upgrade, alembic_config(url), "20261128_add_left_out_events")
    engine = create_async_engine(url)
    names = ["Pay.Example.org.", "db.example:05432", "api.example:443", "API.example", "smtp", "2001:DB8::1:80"]
    async with engine.begin() as connection:
        for name in names:
            row = {"name": name, "seen": "forced_open" if name != "smtp" else "closed"}
            await connection.execute(
                text("INSERT INTO breaker (scope, name, seen, machine) VALUES ('dependency', :name, :seen, '{}')"), row
            )
        other = text("INSERT INTO breaker (scope, name, seen, machine) VALUES ('task_type', 'Mail.', 'closed', '{}')")
        await connection.execute(other)
    await migrate(url)
    async with engine.connect() as connection:
        rows = (await connection.execute(text("SELECT scope, name FROM breaker WHERE seen <> 'closed'"))).all()
        assert {row.name for row in rows} == {folded(name) for name in names} - {"smtp"}
        kept = await connection.execute(
            text("SELECT name FROM breaker WHERE seen = 'closed' ORDER BY name COLLATE \"C\"")
        )
        assert list(kept.scalars()) == ["Mail.", "smtp"]
    await engine.dispose()


async def test_a_limit_that_is_none_is_taken_away_where_it_was_written_by_hand(
    postgres: PostgresServer, migrated_template: str
) -> None:
    url = postgres.create_database(template=migrated_template)
    await migrate(url, "20261129_refused_calls")
    engine = create_async_engine(url)
    given = {
        "none": "1, 1, 'NaN'", "endless": "0, -1, 'Infinity'", "heavy": "NULL, NULL, 11", "good": "7, 8, 0.1",
    }  # fmt: skip
    async with engine.begin() as connection:
        for name, limits in given.items():
            values = f"gen_random_uuid(), 0, '{name}', '', '', '{name}', '{{}}', 'me', {limits}"
            columns = "id, revision, digest, first_shown, last_shown, name, scopes, created_by, burst, quota, weight"
            await connection.execute(text(f"INSERT INTO api_key ({columns}) VALUES ({values})"))
    await migrate(url)
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT name, burst, quota, weight FROM api_key"))
        kept = {row.name: tuple(row)[1:] for row in rows}
    assert kept == {"none": (1, 1, None), "endless": (None,) * 3, "heavy": (None,) * 3, "good": (7, 8, 0.1)}
    await engine.dispose()


async def test_services_that_start_together_migrate_once(postgres: PostgresServer) -> None:
    url = postgres.create_database()
    words = [sys.executable, "-m", "pointsman_service", "migrate"]
    environment = os.environ | {"POINTSMAN_DATABASE_URL": url}
    services = [await asyncio.create_subprocess_exec(*words, env=environment) for _ in range(3)]
    assert [await service.wait() for service in services] == [0, 0, 0]
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        assert await revision_of(connection) == head()
    await engine.dispose()


async def test_the_checks_of_the_database_mirror_the_states_of_the_contract(database_url: str) -> None:
    engine = create_async_engine(database_url)
    insert = text("""
        INSERT INTO task_live (id, state, place, task_type, queue, priority, sla_seconds, timeout_seconds, due_at,
            caller, args, kwargs) VALUES (gen_random_uuid(), :state, :place, 't', 'q', 1, 1, 1, now(), 'c', '[]', '{}')
    """)
    finished = text("""
        INSERT INTO task (id, state, task_type, queue, priority, sla_seconds, timeout_seconds, due_at, caller, args,
            kwargs) VALUES (gen_random_uuid(), :state, 't', 'q', 1, 1, 1, now(), 'c', '[]', '{}')
    """)

    async def takes(statement: TextClause, **values: str) -> bool:
        try:
            async with engine.begin() as connection:
                await connection.execute(statement, values)
        except IntegrityError:
            return False
        return True

    for state in TaskState:
        for place, states in PLACES.items():
            assert await takes(insert, state=state, place=place) == (state in states), (state, place)
        assert await takes(finished, state=state) == (state in TERMINAL), state
    await engine.dispose()
