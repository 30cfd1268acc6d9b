"""Rows 4, 6, 9 and 30 of the fault list: a whole worker node dies, or seems to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from tests.stand import invariants
from tests.stand.load import Load
from tests.stand.stack import Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
async def quick_stack(
    postgres: PostgresServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """An installation that takes a silent worker for dead after five seconds. Each test leaves its node running."""
    directory = tmp_path_factory.mktemp("quick")
    database = postgres.start().create_database(template=migrated_template)
    variables = {"POINTSMAN_WORKER_DEAD_SECONDS": "5"}
    with ValkeyServer(directory / "valkey", appendonly=False) as valkey:
        async with Stack(database, valkey, directory, processes=3, variables=variables) as running:
            yield running


async def test_what_a_killed_node_ran_and_held_runs_again_under_load(quick_stack: Stack, tmp_path: Path) -> None:
    release = tmp_path / "release"
    running = [await quick_stack.submit("ledger.hold", args=[str(release)], queue="critical") for _ in range(2)]
    await quick_stack.wait_for_effects(running)
    async with Load(quick_stack) as load:
        await load.more(100)
        quick_stack.worker.kill()
        quick_stack.worker.start()
        release.touch()
        await load.more(100)

    await invariants.drain(quick_stack)
    await invariants.check(quick_stack, [*load.accepted, *running])
    assert not invariants.never_ran(quick_stack, [*load.accepted, *running])
    for task_id in running:
        task = await quick_stack.task(task_id)
        assert (task["state"], task["attempt"], task["interruptions"]) == ("succeeded", 2, 1)
        attempts = (await quick_stack.http.get(f"/v1/tasks/{task_id}/attempts")).json()["items"]
        assert [attempt["state"] for attempt in attempts] == ["interrupted", "succeeded"]
        assert attempts[0]["error"]["type"] == "Interrupted"


async def test_a_node_that_was_only_frozen_does_not_end_a_task_twice(quick_stack: Stack, tmp_path: Path) -> None:
    release = tmp_path / "release"
    frozen = await quick_stack.submit("ledger.hold", args=[str(release)], queue="critical")
    await quick_stack.wait_for_effects([frozen])
    quick_stack.worker.freeze_all()

    async def rescued() -> bool:
        return bool((await quick_stack.task(frozen))["interruptions"])

    await until(rescued, "the rescue")
    quick_stack.worker.thaw_all()

    async def both_run() -> bool:
        return quick_stack.ledger.effects()[frozen] == 2

    await until(both_run, "the second attempt")
    release.touch()

    await invariants.drain(quick_stack)
    await invariants.check(quick_stack, [frozen])
    task = await quick_stack.finished(frozen)
    assert (task["state"], task["result"], task["interruptions"]) == ("succeeded", "released", 1)
    assert quick_stack.ledger.effects()[frozen] == 2, "a frozen node is the one way to run twice"


@pytest.mark.timeout(600)
async def test_a_task_that_takes_its_node_along_ends_in_quarantine_and_its_neighbours_lose_no_attempt(
    quick_stack: Stack, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    poison = await quick_stack.submit("ledger.kill_node")
    neighbour = await quick_stack.submit("ledger.hold", args=[str(release)], max_attempts=1)

    async def ended() -> bool:
        if not quick_stack.worker.is_running:
            quick_stack.worker.start()
        held = await quick_stack.rows("SELECT id::text FROM task_live WHERE held_reason = 'quarantine'")
        if {str(row["id"]) for row in held} >= {poison}:
            release.touch()
        return bool((await quick_stack.task(poison))["state"] == "failed")

    await until(ended, "the poison to be failed", 400)
    task = await quick_stack.task(poison)
    assert (task["error"]["type"], task["interruptions"]) == ("Interrupted", 6)
    if not quick_stack.worker.is_running:
        quick_stack.worker.start()
    other = await quick_stack.finished(neighbour)
    assert (other["state"], other["attempt"] - other["interruptions"]) == ("succeeded", 1)
    await invariants.drain(quick_stack)
    await invariants.check(quick_stack, [poison, neighbour])
