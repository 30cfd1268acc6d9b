"""A connection on which something was cancelled is given to nobody else: its BEGIN or COMMIT may have been that."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from pointsman_service.store.store import DatabaseTrouble, RowRefused, Store, cut_off
from tests.integration.spine import Spine
from tests.stand.waiting import until

_PID = text("SELECT pg_backend_pid()")


@pytest.fixture
async def slow_commit(spine: Spine) -> AsyncIterator[str]:
    """A table into which a row is written at once, and committed for as long as it is let."""
    await spine.run("CREATE TABLE slow_commit (n int)")
    await spine.run("""
        CREATE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$
    """)
    await spine.run("""
        CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON slow_commit DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow_commit()
    """)
    yield "slow_commit"
    await spine.run("DROP TABLE slow_commit")
    await spine.run("DROP FUNCTION slow_commit")


async def _in_transaction(store: Store, backends: list[int], *statements: str) -> None:
    async with store.transaction() as connection:
        backends.append((await connection.execute(_PID)).scalar_one())
        for statement in statements:
            await connection.execute(text(statement))


async def _backends(store: Store) -> set[int]:
    """Who answers from now on."""
    found: list[int] = []
    for _ in range(5):
        await _in_transaction(store, found)
        async with store.statement() as connection:
            found.append((await connection.execute(_PID)).scalar_one())
    return set(found)


async def test_nobody_uses_the_connection_of_a_cancelled_commit(spine: Spine, slow_commit: str) -> None:
    spoilt: list[int] = []
    doing = asyncio.create_task(_in_transaction(spine.store, spoilt, f"INSERT INTO {slow_commit} VALUES (1)"))

    async def is_cancelled() -> bool:
        return bool(
            await spine.rows("""
                SELECT pg_cancel_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND query ILIKE 'commit%' AND wait_event = 'PgSleep'
            """)
        )

    await until(is_cancelled, "the COMMIT")
    with pytest.raises(DatabaseTrouble):
        await doing
    assert not await _backends(spine.store) & set(spoilt)
    assert await spine.rows(f"SELECT n FROM {slow_commit}") == []


async def test_nobody_uses_the_connection_of_a_cancelled_statement(spine: Spine) -> None:
    spoilt: list[int] = []
    with pytest.raises(DatabaseTrouble) as told:
        await _in_transaction(spine.store, spoilt, "SET LOCAL statement_timeout = 50", "SELECT pg_sleep(60)")
    assert told.value.took_too_long
    assert not await _backends(spine.store) & set(spoilt)


async def test_a_refused_statement_costs_no_connection(spine: Spine) -> None:
    refused: list[int] = []
    with pytest.raises(Exception, match="22012"):
        await _in_transaction(spine.store, refused, "SELECT 1 / 0")
    assert await _backends(spine.store) & set(refused)


async def test_what_may_be_cut_off_costs_neither_the_connection_nor_what_was_done_before(spine: Spine) -> None:
    async with spine.store.transaction() as connection:
        pid = (await connection.execute(_PID)).scalar_one()
        await connection.execute(text("SET LOCAL statement_timeout = '77s'"))
        async with cut_off(connection) as cut:
            await connection.execute(text("SET LOCAL statement_timeout = 1"))
            await connection.execute(text("SELECT pg_sleep(60)"))
        assert cut.short
        assert (await connection.execute(text("SHOW statement_timeout"))).scalar_one() == "77s"
        async with cut_off(connection) as cut:
            await connection.execute(text("SET LOCAL statement_timeout = '78s'"))
        assert not cut.short
        assert (await connection.execute(text("SHOW statement_timeout"))).scalar_one() == "78s"
    assert pid in await _backends(spine.store)
    with pytest.raises(RowRefused):
        async with spine.store.transaction() as connection, cut_off(connection):
            await connection.execute(text("SELECT 1 / 0"))
