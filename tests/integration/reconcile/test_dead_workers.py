"""A worker node that dies: faults.md rows 6, 7 and 9, step by step."""

import asyncio
from typing import Any

import pytest

from pointsman_contract import keys
from pointsman_contract.queues import list_key
from pointsman_service.claims.rescue import Rescuer
from pointsman_service.reconcile.cancelled import CancelledSweep
from pointsman_service.reconcile.dead_workers import DeadWorkersSweep
from pointsman_service.redis import ScriptCall
from pointsman_service.store.lost.rescuing import Running
from pointsman_service.store.tasks import cancelling
from tests.integration.reconcile.judge import Judge, beat
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)
DEAD_SECONDS = 10


async def started(spine: Spine, owner: str = "w#1", **changes: Any) -> tuple[dict[str, Any], list[Any]]:
    """A message whose attempt runs in a worker, and what the gate said."""
    await spine.commits.join(new_task(**changes))
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message, owner=owner)
    assert verdict[0] == b"run"
    await spine.record_all()
    return message, verdict


async def again(spine: Spine, owner: str = "w#2", token: str = "again") -> tuple[dict[str, Any], list[Any]]:
    """The next attempt of the one task, started in another worker."""
    await spine.dispatcher.single_pass()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    return message, await spine.gate(message, owner=owner, token=token)


async def states(spine: Spine) -> list[tuple[Any, ...]]:
    rows = await spine.rows("SELECT state, place, attempt, interruptions FROM task_live ORDER BY id")
    return [tuple(row.values()) for row in rows]


@pytest.fixture
async def judge(spine: Spine) -> Judge:
    """Has seen the worker ``w#1`` beat twice."""
    judge = Judge(spine)
    for counter in (1, 2):
        await beat(spine, "w#1", 1, counter)
        await judge.watch(1)
    return judge


@pytest.fixture
def sweep(spine: Spine, judge: Judge) -> DeadWorkersSweep:
    return DeadWorkersSweep(spine.store, spine.server, judge, spine.settings)


async def test_what_a_dead_worker_ran_waits_again_and_costs_no_attempt(
    spine: Spine, judge: Judge, sweep: DeadWorkersSweep
) -> None:
    message, _ = await started(spine, max_attempts=2)
    await judge.watch(DEAD_SECONDS - 2)
    await sweep.single_pass()
    assert await states(spine) == [("running", "sent", 1, 0)], "it may still live"
    await judge.watch(3)
    await sweep.single_pass()
    assert await states(spine) == [("queued", "waiting", 1, 1)]
    (attempt,) = await spine.rows("SELECT attempt, worker, error_type FROM task_attempt")
    assert attempt == {"attempt": 1, "worker": "w#1", "error_type": "Interrupted"}
    claim = await spine.server.command("HMGET", keys.claim(message["headers"]["id"]), "state", "attempt", "token")
    assert claim == [b"released", b"1", b""]
    second, verdict = await again(spine)
    header = second["headers"]["pointsman"]
    assert (header["after"], header["max_attempts"], header["interruptions"]) == (1, 3, 1)
    assert verdict[:2] == [b"run", 2]
    await spine.report(
        second, verdict, "failed", "again", error={"type": "E", "message": "", "traceback": ""}, retry_in_seconds=9.0
    )
    await spine.record_all()
    assert await states(spine) == [("retrying", "asleep", 2, 1)], "of two attempts one was interrupted"
    counted = await spine.counters()
    assert (counted["started"], counted["interrupted"], counted["executions"], counted["retried"]) == (2, 1, 1, 1)


async def test_a_worker_that_was_told_to_stop_and_is_gone_brings_no_task_nearer_to_quarantine(
    spine: Spine, judge: Judge, sweep: DeadWorkersSweep
) -> None:
    await started(spine, max_attempts=1)
    await spine.run("UPDATE task_live SET interrupted_in_a_row = 5")
    await beat(spine, "w#1", 1, 3, stopping=True)
    await judge.watch(DEAD_SECONDS + 1)
    await sweep.single_pass()
    assert await states(spine) == [("queued", "waiting", 1, 1)], "neither held nor failed"
    assert await spine.rows("SELECT interrupted_in_a_row FROM task_live") == [{"interrupted_in_a_row": 5}]
    assert await spine.rows("SELECT error_message FROM task_attempt") == [
        {"error_message": "its worker was stopped while it ran"}
    ]


async def test_a_worker_that_beats_is_not_judged_by_anything_else(
    spine: Spine, judge: Judge, sweep: DeadWorkersSweep
) -> None:
    await started(spine)
    for counter in range(3, 12):
        await beat(spine, "w#1", 1, counter)
        await judge.watch(DEAD_SECONDS - 1)
        await sweep.single_pass()
    assert await states(spine) == [("running", "sent", 1, 0)]


async def test_a_new_judge_concludes_nothing_before_it_has_watched_long_enough(spine: Spine) -> None:
    await beat(spine, "w#1", 1, 1)
    await started(spine)
    judge = Judge(spine)
    judge.now = 1_000_000.0
    sweep = DeadWorkersSweep(spine.store, spine.server, judge, spine.settings)
    await judge.watch(DEAD_SECONDS - 1)
    await sweep.single_pass()
    assert await states(spine) == [("running", "sent", 1, 0)]
    await judge.watch(1)
    await sweep.single_pass()
    assert await states(spine) == [("queued", "waiting", 1, 1)]


async def test_time_in_which_the_judge_saw_nothing_does_not_count(
    spine: Spine, judge: Judge, sweep: DeadWorkersSweep
) -> None:
    """The judge was frozen; then Redis was."""
    await started(spine)
    judge.now += 600
    await sweep.single_pass()
    judge._looked_at = None
    judge.now += 600
    await sweep.single_pass()
    assert await states(spine) == [("running", "sent", 1, 0)]


async def test_nothing_is_concluded_in_a_new_epoch_from_the_silence_before(
    spine: Spine, judge: Judge, sweep: DeadWorkersSweep
) -> None:
    message, _ = await started(spine)
    await judge.watch(DEAD_SECONDS - 1)
    await spine.server.command("HSET", keys.CONTROL, "run_id", "the server before")
    await beat(spine, "w#1", 2, 9, (message["headers"]["id"], 1, "token"))
    await spine.open_epoch()
    await judge.watch(DEAD_SECONDS - 1)
    await sweep.single_pass()
    assert await states(spine) == [("running", "sent", 1, 0)]
    await judge.watch(1)
    await sweep.single_pass()
    assert await states(spine) == [("queued", "waiting", 1, 1)]


async def test_nothing_is_rescued_before_the_recorder_has_passed_what_was_reported(
    spine: Spine, judge: Judge, sweep: DeadWorkersSweep
) -> None:
    message, verdict = await started(spine)
    await spine.report(message, verdict)
    await judge.watch(DEAD_SECONDS)
    await sweep.single_pass()
    assert await states(spine) == [("running", "sent", 1, 0)]
    await spine.record_all()
    await sweep.single_pass()
    assert await states(spine) == []
    assert await spine.rows("SELECT state, interruptions FROM task") == [{"state": "succeeded", "interruptions": 0}]


async def test_a_success_after_the_rescue_ends_the_task_and_its_next_message_does_not_run(
    spine: Spine, judge: Judge, sweep: DeadWorkersSweep
) -> None:
    message, verdict = await started(spine)
    await judge.watch(DEAD_SECONDS)
    await sweep.single_pass()
    await spine.dispatcher.single_pass()
    answer = await spine.report(message, verdict)
    assert answer[3] == b"1", "late"
    second = await spine.message(MAINTENANCE)
    assert second is not None
    assert (await spine.gate(second, token="again"))[0] != b"run"
    await spine.record_all()
    (row,) = await spine.rows("SELECT state, attempt, interruptions FROM task")
    assert row == {"state": "succeeded", "attempt": 1, "interruptions": 1}
    counted = await spine.counters()
    assert (counted["succeeded"], counted["executions"], counted["interrupted"]) == (1, 1, 1)


async def test_a_success_after_the_rescue_is_fenced_while_the_next_attempt_runs(
    spine: Spine, judge: Judge, sweep: DeadWorkersSweep
) -> None:
    message, verdict = await started(spine)
    await judge.watch(DEAD_SECONDS)
    await sweep.single_pass()
    second, running = await again(spine)
    await spine.report(message, verdict, result='"first"')
    await spine.record_all()
    assert await states(spine) == [("running", "sent", 2, 1)]
    await spine.report(second, running, token="again", result='"second"')
    await spine.record_all()
    assert await spine.rows("SELECT state, attempt, result FROM task") == [
        {"state": "succeeded", "attempt": 2, "result": '"second"'}
    ]
    assert (await spine.counters())["executions"] == 1


async def test_a_failure_after_the_rescue_changes_nothing(spine: Spine, judge: Judge, sweep: DeadWorkersSweep) -> None:
    message, verdict = await started(spine)
    await judge.watch(DEAD_SECONDS)
    await sweep.single_pass()
    error = {"type": "E", "message": "", "traceback": ""}
    await spine.report(message, verdict, "failed", error=error)
    await spine.record_all()
    assert await states(spine) == [("queued", "waiting", 1, 1)]
    assert "failed" not in await spine.counters()


async def test_a_judge_that_dies_between_claim_and_row_is_followed_by_another(
    spine: Spine, judge: Judge, sweep: DeadWorkersSweep
) -> None:
    message, _ = await started(spine)
    task = message["headers"]["id"]
    call: ScriptCall = ([keys.CONTROL, keys.claim(task)], [1], [1, "w#1", keys.CLAIM_SECONDS])
    assert await spine.server.scripts("release", [call]) == [b"released"]
    await judge.watch(DEAD_SECONDS)
    await sweep.single_pass()
    assert await states(spine) == [("queued", "waiting", 1, 1)]


async def test_many_judges_end_an_attempt_once(spine: Spine) -> None:
    message, _ = await started(spine)
    running = Running(message["headers"]["id"], 1, "w#1")
    rescuers = [Rescuer(spine.store, spine.server) for _ in range(8)]
    ended = await asyncio.gather(*(rescuer.rescue([running], 1) for rescuer in rescuers))
    assert sum(ended) == 1
    assert await states(spine) == [("queued", "waiting", 1, 1)]
    assert (await spine.counters())["interrupted"] == 1


async def test_a_rescue_that_comes_late_does_not_touch_the_next_attempt(spine: Spine) -> None:
    message, _ = await started(spine)
    running = Running(message["headers"]["id"], 1, "w#1")
    rescuer = Rescuer(spine.store, spine.server)
    await rescuer.rescue([running], 1)
    await again(spine)
    await spine.record_all()
    assert await rescuer.rescue([running], 1) == 0
    assert await states(spine) == [("running", "sent", 2, 1)]


async def test_a_task_to_be_cancelled_ends_with_its_worker(spine: Spine, judge: Judge, sweep: DeadWorkersSweep) -> None:
    message, _ = await started(spine)
    async with spine.store.statement() as connection:
        await cancelling.request(connection, message["headers"]["id"], 10, "local")
    await judge.watch(DEAD_SECONDS)
    await sweep.single_pass()
    await CancelledSweep(spine.store, spine.server, spine.settings).single_pass()
    assert await spine.rows("SELECT state FROM task") == [{"state": "cancelled"}]


async def test_a_full_memory_does_not_stop_a_rescue(spine: Spine, judge: Judge, sweep: DeadWorkersSweep) -> None:
    await started(spine)
    await judge.watch(DEAD_SECONDS)
    await spine.server.command("CONFIG", "SET", "maxmemory", "1")
    try:
        await sweep.single_pass()
    finally:
        await spine.server.command("CONFIG", "SET", "maxmemory", "0")
    assert await states(spine) == [("queued", "waiting", 1, 1)]
