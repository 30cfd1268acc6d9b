"""Commits of submissions have connections of their own, on which PostgreSQL plans their statement once."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from pointsman_service.database import create_engine, create_engines_of_api
from pointsman_service.settings import Settings
from pointsman_service.store.store import ConnectionLost, Store
from pointsman_service.store.tasks import submitting
from pointsman_service.submit.group_commit import GroupCommit
from tests.integration.spine import Spine, new_task
from tests.statements import reference

# The pattern is in two parts, or it would find itself.
_PLANS = text("""
    SELECT sum(generic_plans)::int AS kept, sum(custom_plans)::int AS made_anew FROM pg_prepared_statements
    WHERE statement LIKE '%INTO task' || '_live%'
""")

_LOSE_ALL = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
""")


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    """As an API process has it."""
    engine, commits = create_engines_of_api(settings, "test")
    made = Store(engine, commits=commits)
    yield made
    await made.close()


async def test_submissions_are_stored_with_a_plan_that_is_kept(spine: Spine, store: Store) -> None:
    commits = GroupCommit(store, spine.publisher, spine.window, spine.settings)
    for number in range(10):
        await commits.join(new_task())
        await commits.join(new_task(key=f"key {number}", fingerprint="print"))
    await commits.drain()
    assert await spine.rows("SELECT count(*)::int AS n FROM task_live") == [{"n": 20}]
    async with store.planned_once() as connection:
        plans = (await connection.execute(_PLANS)).one()
    assert plans.kept > 0
    assert plans.made_anew == 0


async def test_batches_leave_the_connections_of_single_submissions_alone(spine: Spine, store: Store) -> None:
    commits = GroupCommit(store, spine.publisher, spine.window, spine.settings)
    await commits.write_batch([new_task() for _ in range(5)])
    async with store.planned_once() as connection:
        assert (await connection.execute(_PLANS)).one().kept is None


@pytest.mark.parametrize("name", ["_PLAIN", "_KEYED"])
async def test_a_plan_made_while_tables_are_empty_is_good_when_they_are_full(store: Store, name: str) -> None:
    (statement,) = (
        one for one in reference.statements() if (one.module.__name__, one.name) == (submitting.__name__, name)
    )
    async with store.planned_once() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        explained = await driver.prepare(f"EXPLAIN (GENERIC_PLAN) {statement.compiled('numeric_dollar')}")
        rows = await explained.fetch(*[None] * len(explained.get_parameters()))
    plan = "\n".join(row[0] for row in rows)
    assert re.search(r"Index.* on outbox", plan), plan
    assert not re.search(r"Seq Scan on (outbox|task_live|idempotency_key)|Nested Loop", plan), plan


async def test_both_pools_together_have_no_more_connections_than_one_process_may(settings: Settings) -> None:
    for most in (4, 5, 10, 40):
        chosen = settings.model_copy(update={"database_connections": most})
        pools = [engine.pool for engine in create_engines_of_api(chosen, "test")]
        sizes = [pool.size() for pool in pools]  # type: ignore[attr-defined]  # of the pool that engines have
        assert sum(sizes) == most
        assert min(sizes) >= 2


async def test_two_commits_of_each_kind_run_at_once(spine: Spine, store: Store) -> None:
    async def one(number: int) -> None:
        async with store.planned_once() as connection:
            await connection.execute(text("SELECT 1"))
            held.add(number)
            if len(held) == 2 * spine.settings.commits_in_flight:
                all_held.set()
            await all_held.wait()

    held: set[int] = set()
    all_held = asyncio.Event()
    async with asyncio.timeout(20):
        await asyncio.gather(*(one(number) for number in range(2 * spine.settings.commits_in_flight)))


async def test_who_submits_after_all_connections_were_lost_gets_a_new_one_once_one_loss_was_seen(
    spine: Spine, store: Store, settings: Settings
) -> None:
    commits = GroupCommit(store, spine.publisher, spine.window, spine.settings)
    await commits.join(new_task())
    async with store.statement() as connection:
        await connection.execute(text("SELECT 1"))
    await commits.drain()
    other = Store(create_engine(settings, "another"))
    async with other.statement() as connection:
        await connection.execute(_LOSE_ALL)
    await other.close()
    with pytest.raises(ConnectionLost):
        async with store.statement() as connection:
            await connection.execute(text("SELECT 1"))
    receipt = await commits.join(new_task())
    assert receipt.accepted
    await commits.drain()
