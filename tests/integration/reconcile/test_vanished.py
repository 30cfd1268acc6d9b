"""Rows that say an attempt runs while no worker knows of it."""

from typing import Any

import pytest

from pointsman_contract import keys
from pointsman_contract.queues import list_key
from pointsman_service.reconcile.vanished import VanishedSweep
from tests.integration.reconcile.judge import Judge, beat
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)


async def started(spine: Spine, owner: str = "w#1") -> str:
    """A task that runs in a worker."""
    await spine.commits.join(new_task())
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    await spine.gate(message, owner=owner)
    await spine.record_all()
    return str(message["headers"]["id"])


async def states(spine: Spine) -> list[Any]:
    return [row["state"] for row in await spine.rows("SELECT state FROM task_live ORDER BY id")]


@pytest.fixture
def judge(spine: Spine) -> Judge:
    return Judge(spine)


@pytest.fixture
def sweep(spine: Spine, judge: Judge) -> VanishedSweep:
    return VanishedSweep(spine.store, spine.broker, spine.server, judge, spine.settings)


async def test_an_attempt_that_its_worker_names_in_no_beat_is_sent_again(spine: Spine, sweep: VanishedSweep) -> None:
    """A frozen Redis claimed for a caller who had given up; or a child died before its slot said anything."""
    await started(spine)
    for counter, state in ((1, "running"), (1, "running"), (2, "running"), (3, "queued")):
        await beat(spine, "w#1", 1, counter)
        await sweep.single_pass()
        assert await states(spine) == [state], counter
    assert await spine.rows("SELECT error_type FROM task_attempt") == [{"error_type": "Interrupted"}]


@pytest.mark.parametrize("how", ["running", "asking"])
async def test_an_attempt_that_is_named_stays(spine: Spine, sweep: VanishedSweep, how: str) -> None:
    task = await started(spine)
    for counter in range(1, 7):
        if how == "running":
            await beat(spine, "w#1", 1, counter, (task, 1, "token"))
        else:
            await beat(spine, "w#1", 1, counter, asking=[task])
        await sweep.single_pass()
    assert await states(spine) == ["running"]


async def test_an_attempt_named_once_in_between_is_watched_anew(spine: Spine, sweep: VanishedSweep) -> None:
    task = await started(spine)
    await beat(spine, "w#1", 1, 1)
    await sweep.single_pass()
    await beat(spine, "w#1", 1, 2, (task, 1, "token"))
    await sweep.single_pass()
    await beat(spine, "w#1", 1, 4)
    await sweep.single_pass()
    assert await states(spine) == ["running"]


async def test_an_attempt_that_ended_and_is_not_recorded_yet_is_left_to_the_recorder(
    spine: Spine, sweep: VanishedSweep
) -> None:
    await spine.commits.join(new_task())
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message, owner="w#1")
    await spine.record_all()
    await spine.report(message, verdict)
    for counter in range(1, 5):
        await beat(spine, "w#1", 1, counter)
        await sweep.single_pass()
    await spine.record_all()
    assert await spine.rows("SELECT state, interruptions FROM task") == [{"state": "succeeded", "interruptions": 0}]


async def test_an_attempt_of_a_worker_that_is_nowhere_is_sent_again_after_its_time(
    spine: Spine, judge: Judge, sweep: VanishedSweep
) -> None:
    await started(spine, "w#9")
    await sweep.single_pass()
    await judge.watch(9)
    await sweep.single_pass()
    assert await states(spine) == ["running"]
    await judge.watch(1)
    await sweep.single_pass()
    assert await states(spine) == ["queued"]


async def test_nobody_vanishes_while_an_epoch_is_shut(spine: Spine, judge: Judge, sweep: VanishedSweep) -> None:
    await started(spine, "w#9")
    await sweep.single_pass()
    await spine.server.command("HSET", keys.CONTROL, "open", "0")
    await judge.watch(30)
    await sweep.single_pass()
    assert await states(spine) == ["running"]


async def test_what_waits_in_a_list_is_not_looked_at(spine: Spine, sweep: VanishedSweep) -> None:
    running = await started(spine)
    for _ in range(20):
        await spine.commits.join(new_task())
    await spine.commits.drain()
    for counter in range(1, 4):
        await beat(spine, "w#1", 1, counter)
        await sweep.single_pass()
    rows = await spine.rows("SELECT id::text FROM task_live WHERE interruptions = 1")
    assert rows == [{"id": running}]
