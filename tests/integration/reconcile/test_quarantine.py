"""A task that takes its worker along again and again: faults.md row 30, step by step."""

from typing import Any

import pytest

from pointsman_contract.queues import list_key
from pointsman_service.claims.rescue import Rescuer
from pointsman_service.reconcile.held import HeldSweep
from pointsman_service.reconcile.quarantine import QuarantineSweep
from pointsman_service.store.lost.rescuing import Running
from pointsman_service.store.queues.holding import MOST_IN_A_ROW
from tests.integration.reconcile.judge import Judge, beat
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)
ERROR = {"type": "E", "message": "", "traceback": ""}


async def take(spine: Spine) -> dict[str, Any] | None:
    """The next message, sent by the dispatcher if it does not lie there yet."""
    await spine.dispatcher.single_pass()
    return await spine.message(MAINTENANCE)


async def start(spine: Spine, token: str = "token") -> tuple[dict[str, Any], list[Any]]:
    message = await take(spine)
    assert message is not None
    verdict = await spine.gate(message, owner="w#1", token=token)
    assert verdict[0] == b"run"
    await spine.record_all()
    return message, verdict


async def die(spine: Spine, message: dict[str, Any], verdict: list[Any]) -> None:
    """The worker dies with this attempt."""
    running = Running(message["headers"]["id"], int(verdict[1]), "w#1")
    assert await Rescuer(spine.store, spine.server).rescue([running], 1) == 1


async def settle(spine: Spine) -> None:
    await spine.run("UPDATE quarantine_queue SET since = since - interval '5 seconds'")


async def held(spine: Spine) -> list[str]:
    return [row["held_reason"] for row in await spine.rows("SELECT held_reason FROM task_live WHERE state = 'held'")]


@pytest.fixture
async def sweep(spine: Spine) -> QuarantineSweep:
    """With a living worker of the queues ``maintenance`` and ``reports``."""
    judge = Judge(spine)
    for counter in (1, 2):
        await beat(spine, "w#1", 1, counter, queues=["maintenance", "reports"])
        await judge.watch(1)
    return QuarantineSweep(spine.store, judge)


@pytest.fixture
async def quarantined(spine: Spine) -> str:
    """A task that has lost its worker five times."""
    task = new_task(max_attempts=2)
    await spine.commits.join(task)
    await spine.commits.drain()
    for number in range(MOST_IN_A_ROW):
        assert await held(spine) == []
        message, verdict = await start(spine, f"token {number}")
        await die(spine, message, verdict)
    return task.id


async def test_a_task_that_lost_its_worker_five_times_is_held(spine: Spine, quarantined: str) -> None:
    assert await held(spine) == ["quarantine"]
    await HeldSweep(spine.store, spine.settings).single_pass()
    assert await take(spine) is None
    rows = await spine.rows("SELECT attempt, error_type FROM task_attempt ORDER BY attempt")
    assert [(row["attempt"], row["error_type"]) for row in rows] == [(n, "Interrupted") for n in range(1, 6)]
    assert quarantined


async def test_it_waits_until_its_pool_has_nothing_else(spine: Spine, sweep: QuarantineSweep, quarantined: str) -> None:
    await spine.commits.join(new_task(queue="reports"))
    await spine.commits.drain()
    await sweep.single_pass()
    assert await spine.rows("SELECT queue FROM quarantine_queue") == []
    await spine.run("DELETE FROM task_live WHERE queue = 'reports'")
    await sweep.single_pass()
    assert await spine.rows("SELECT queue FROM quarantine_queue ORDER BY queue") == [
        {"queue": "maintenance"},
        {"queue": "reports"},
    ]
    assert quarantined


async def test_queue_that_its_worker_has_just_left_is_kept_empty_too(spine: Spine, quarantined: str) -> None:
    judge = Judge(spine)
    for counter in (1, 2):
        await beat(spine, "w#1", 1, counter, queues=["maintenance"], left=["email"])
        await judge.watch(1)
    await QuarantineSweep(spine.store, judge).single_pass()
    rows = await spine.rows("SELECT queue FROM quarantine_queue ORDER BY queue")
    assert [row["queue"] for row in rows] == ["email", "maintenance"]
    assert quarantined


async def test_nothing_runs_beside_it_and_what_came_meanwhile_runs_after_it(
    spine: Spine, sweep: QuarantineSweep, quarantined: str
) -> None:
    await sweep.single_pass()
    await spine.dispatcher.single_pass()
    await spine.window.refresh()
    neighbour = new_task()
    await spine.commits.join(neighbour)
    await spine.commits.drain()
    await sweep.single_pass()
    assert await take(spine) is None, "another process may still be sending"
    await settle(spine)
    await sweep.single_pass()
    message, verdict = await start(spine, "alone")
    assert message["headers"]["id"] == quarantined
    assert await take(spine) is None
    await sweep.single_pass()
    await spine.report(message, verdict, token="alone")
    await spine.record_all()
    await sweep.single_pass()
    after = await take(spine)
    assert after is not None
    assert after["headers"]["id"] == neighbour.id
    assert await spine.rows("SELECT state, interruptions FROM task") == [{"state": "succeeded", "interruptions": 5}]


async def alone(spine: Spine, sweep: QuarantineSweep) -> tuple[dict[str, Any], list[Any]]:
    await sweep.single_pass()
    await settle(spine)
    await sweep.single_pass()
    return await start(spine, "alone")


async def test_it_is_failed_when_its_worker_dies_though_nothing_ran_beside_it(
    spine: Spine, sweep: QuarantineSweep, quarantined: str
) -> None:
    await die(spine, *await alone(spine, sweep))
    (row,) = await spine.rows("SELECT id::text, state, attempt, interruptions, error_type FROM task")
    assert row == {
        "id": quarantined,
        "state": "failed",
        "attempt": 6,
        "interruptions": 6,
        "error_type": "Interrupted",
    }
    counted = await spine.counters()
    assert (counted["failed"], counted["interrupted"], counted["started"]) == (1, 6, 6)
    assert "executions" not in counted
    await sweep.single_pass()
    assert await spine.rows("SELECT queue FROM quarantine_queue") == []


async def test_a_neighbour_that_ends_by_itself_is_cleared(
    spine: Spine, sweep: QuarantineSweep, quarantined: str
) -> None:
    message, verdict = await alone(spine, sweep)
    await spine.report(message, verdict, "failed", "alone", error=ERROR, retry_in_seconds=0.0)
    await spine.record_all()
    (row,) = await spine.rows("SELECT id::text, state, interrupted_in_a_row, interruptions FROM task_live")
    assert row == {"id": quarantined, "state": "retrying", "interrupted_in_a_row": 0, "interruptions": 5}
    await sweep.single_pass()
    assert await spine.rows("SELECT queue FROM quarantine_queue") == []


async def test_two_tasks_of_one_pool_run_one_after_the_other(
    spine: Spine, sweep: QuarantineSweep, quarantined: str
) -> None:
    await spine.commits.join(new_task())
    await spine.commits.drain()
    assert await spine.message(MAINTENANCE) is not None
    await spine.run("""
        UPDATE task_live SET state = 'held', place = 'held', held_reason = 'quarantine', interrupted_in_a_row = 5
    """)
    await alone(spine, sweep)
    await sweep.single_pass()
    kept = await spine.rows("SELECT DISTINCT task_id::text AS task FROM quarantine_queue")
    assert kept == [{"task": quarantined}]
    assert await held(spine) == ["quarantine"]


async def test_queues_are_given_back_when_they_do_not_get_empty(
    spine: Spine, sweep: QuarantineSweep, quarantined: str
) -> None:
    await sweep.single_pass()
    await spine.commits.join(new_task())
    await spine.commits.drain()
    await spine.run("UPDATE quarantine_queue SET since = since - interval '2 minutes'")
    await sweep.single_pass()
    assert await spine.rows("SELECT queue FROM quarantine_queue") == []
    assert await held(spine) == ["quarantine"]
    assert quarantined


async def test_nothing_is_kept_empty_while_no_worker_lives(spine: Spine, quarantined: str) -> None:
    await QuarantineSweep(spine.store, Judge(spine)).single_pass()
    assert await spine.rows("SELECT queue FROM quarantine_queue") == []
    assert quarantined
