"""Whoever listens is told of every end once, in its transaction, whoever ended the task."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.queues import list_key
from pointsman_contract.states import TaskState
from pointsman_service.callers import LOCAL
from pointsman_service.claims.rescue import Rescuer
from pointsman_service.errors import Unavailable
from pointsman_service.operate.cancel import Canceller
from pointsman_service.operate.purge import PURGEABLE, Purger, PurgeRequest
from pointsman_service.operate.withdraw import Withdrawer
from pointsman_service.reconcile.cancelled import CancelledSweep
from pointsman_service.reconcile.expired import ExpiredSweep
from pointsman_service.reconcile.unclaimed import UnclaimedSweep
from pointsman_service.store.listeners import Ends
from pointsman_service.store.lost.rescuing import Running
from pointsman_service.store.queues.holding import MOST_IN_A_ROW
from pointsman_service.store.store import Connection
from pointsman_service.store.tasks.ending import end_unstarted
from pointsman_service.store.workers import catalogue
from tests.integration.reconcile.judge import Judge
from tests.integration.spine import Spine, new_task
from tests.integration.tripped import Holding

MAINTENANCE = list_key("maintenance", 7)
ERROR = {"type": "ValueError", "message": "no", "traceback": ""}
NOW = datetime.now(UTC)


class Ears:
    """Writes down what it hears where the tasks are: what is rolled back was not heard."""

    def __init__(self) -> None:
        self.calls = 0
        self.breaks = False

    async def ended(self, connection: Connection, ends: Ends) -> None:
        self.calls += 1
        over = [(one.moved.id, one.moved.state) for one in ends.tasks]
        # The rows are written already.
        found = await connection.execute(
            text("SELECT id, state FROM task WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": [task for task, _ in over]}
        )
        assert sorted(over) == sorted((str(row.id), row.state) for row in found)
        goes_on = [(one.moved.id, "retried") for one in ends.retried]
        goes_on += [(one.moved.id, "interrupted") for one in ends.interrupted]
        for task, what in (*over, *goes_on):
            await connection.execute(text("INSERT INTO heard VALUES (:task, :what)"), {"task": task, "what": what})
        if self.breaks:
            raise Unavailable


@pytest.fixture
async def ears(spine: Spine) -> Ears:
    found = Ears()
    spine.store.listeners = (found,)
    await spine.run("CREATE TABLE heard (task uuid, what text)")
    return found


async def heard(spine: Spine) -> list[tuple[str, str]]:
    return [(str(row["task"]), row["what"]) for row in await spine.rows("SELECT task, what FROM heard ORDER BY what")]


async def submitted(spine: Spine, **changes: Any) -> str:
    task = new_task(**changes)
    await spine.commits.join(task)
    await spine.commits.drain()
    return task.id


async def started(spine: Spine, **changes: Any) -> tuple[str, dict[str, Any], list[Any]]:
    task = await submitted(spine, **changes)
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message)
    await spine.record_all()
    return task, message, verdict


async def succeeds(spine: Spine) -> str:
    task, message, verdict = await started(spine)
    await spine.report(message, verdict)
    await spine.record_all()
    return task


async def fails(spine: Spine) -> str:
    task, message, verdict = await started(spine)
    await spine.report(message, verdict, "failed", error=ERROR, permanent=True)
    # Again, as after an answer that got lost.
    await spine.report(message, verdict, "failed", error=ERROR, permanent=True)
    await spine.record_all()
    return task


async def is_cancelled_unsent(spine: Spine) -> str:
    task = await submitted(spine, delay_seconds=3600.0)
    await Canceller(spine.store, spine.server).cancel(LOCAL, UUID(task), 10.0)
    return task


async def is_cancelled_sent(spine: Spine) -> str:
    task = await submitted(spine)
    await Canceller(spine.store, spine.server).cancel(LOCAL, UUID(task), 10.0)
    return task


async def is_cancelled_running(spine: Spine) -> str:
    task, message, verdict = await started(spine, max_attempts=4)
    await Canceller(spine.store, spine.server).cancel(LOCAL, UUID(task), 10.0)
    await spine.report(message, verdict, "failed", error=ERROR, retry_in_seconds=0.0)
    await spine.record_all()
    return task


async def is_cancelled_by_the_sweep(spine: Spine) -> str:
    task = await submitted(spine)
    await spine.run("UPDATE task_live SET cancel_requested_at = now(), cancel_grace_seconds = 10")
    await CancelledSweep(spine.store, spine.server, spine.settings).single_pass()
    return task


async def is_purged(spine: Spine) -> str:
    task = await submitted(spine)
    withdrawer = Withdrawer(spine.store, spine.server, spine.settings)
    await Purger(spine.store, withdrawer, spine.settings).purge(
        LOCAL, "maintenance", PurgeRequest(PURGEABLE, expected=1)
    )
    return task


async def expires(spine: Spine) -> str:
    task = await submitted(spine, delay_seconds=3600.0)
    await spine.run("UPDATE task_live SET expires_at = now()")
    await ExpiredSweep(spine.store, spine.server, spine.settings).single_pass()
    return task


async def expires_at_the_gate(spine: Spine) -> str:
    task = await submitted(spine, expires_at=NOW)
    message = await spine.message(MAINTENANCE)
    assert message is not None
    assert (await spine.gate(message))[0] == b"expired"
    await spine.record_all()
    return task


async def loses_its_worker_alone(spine: Spine) -> str:
    task, _, _ = await started(spine)
    await spine.run("UPDATE task_live SET interrupted_in_a_row = :often", often=MOST_IN_A_ROW)
    await Rescuer(spine.store, spine.server).rescue([Running(task, 1, "w@h")], 1)
    return task


async def is_never_claimed(spine: Spine) -> str:
    task = await submitted(spine, max_attempts=1)
    await spine.run("UPDATE task_live SET state = 'held', place = 'held', held_reason = 'unclaimed', held_at = now()")
    judge = Judge(spine)
    await judge.look()
    await UnclaimedSweep(spine.store, spine.server, judge, spine.settings).single_pass()
    return task


async def fails_fast(spine: Spine) -> str:
    async with spine.store.statement() as connection:
        spec = TaskTypeSpec(name="noop", time_limit_seconds=300, fail_fast=True)
        await catalogue.publish(connection, "worker-1", [spec])
    holding = Holding(spine)
    task = await holding.store_waiting()
    await holding.open("dependency", "smtp")
    await spine.dispatcher.single_pass()
    await holding.sweep.single_pass()
    return task


ENDS: dict[Callable[[Spine], Awaitable[str]], list[str]] = {
    succeeds: ["succeeded"],
    fails: ["failed"],
    is_cancelled_unsent: ["cancelled"],
    is_cancelled_sent: ["cancelled"],
    is_cancelled_running: ["cancelled"],
    is_cancelled_by_the_sweep: ["cancelled"],
    is_purged: ["cancelled"],
    expires: ["expired"],
    expires_at_the_gate: ["expired"],
    # An attempt ended, and with it the task.
    loses_its_worker_alone: ["failed", "interrupted"],
    is_never_claimed: ["failed"],
    fails_fast: ["failed"],
}


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_a_listener_is_told_of_every_end_once(
    spine: Spine, ears: Ears, end: Callable[[Spine], Awaitable[str]]
) -> None:
    task = await end(spine)
    assert await heard(spine) == [(task, what) for what in ENDS[end]]
    assert ears.calls == 1
    (row,) = await spine.rows("SELECT id, state FROM task")
    counters = await spine.counters()
    ends = ("succeeded", "failed", "cancelled", "expired")
    assert [name for name in ends for _ in range(counters.get(name, 0))] == [row["state"]]


async def test_a_listener_is_told_of_an_attempt_that_another_follows(spine: Spine, ears: Ears) -> None:
    task, message, verdict = await started(spine, max_attempts=2)
    await spine.report(message, verdict, "failed", error=ERROR, retry_in_seconds=0.0)
    await spine.record_all()
    assert await heard(spine) == [(task, "retried")]


async def test_a_listener_is_told_of_a_whole_batch_at_once(spine: Spine, ears: Ears) -> None:
    tasks = [await submitted(spine) for _ in range(5)]
    for _ in tasks:
        message = await spine.message(MAINTENANCE)
        assert message is not None
        await spine.report(message, await spine.gate(message))
    await spine.record_all()
    assert sorted(await heard(spine)) == sorted((task, "succeeded") for task in tasks)
    assert ears.calls == 1


async def test_a_listener_is_not_told_where_nothing_ends(spine: Spine, ears: Ears) -> None:
    await started(spine)
    await ExpiredSweep(spine.store, spine.server, spine.settings).single_pass()
    assert ears.calls == 0


async def test_what_is_rolled_back_was_told_to_nobody_and_is_told_again(spine: Spine, ears: Ears) -> None:
    task, message, verdict = await started(spine)
    await spine.report(message, verdict)
    ears.breaks = True
    with pytest.raises(Unavailable):
        await spine.recorder.single_pass()
    assert ears.calls == 1
    assert await heard(spine) == []
    assert await spine.rows("SELECT state FROM task_live") == [{"state": "running"}]
    assert await spine.counters() == {"submitted": 1, "started": 1, "sla_met": 1}
    ears.breaks = False
    await spine.record_all()
    assert await heard(spine) == [(task, "succeeded")]


async def test_a_task_that_was_to_fail_and_is_cancelled_meanwhile_counts_as_cancelled(spine: Spine) -> None:
    task = await submitted(spine, delay_seconds=3600.0)
    await spine.run(
        "UPDATE task_live SET cancel_requested_at = now(), cancel_grace_seconds = 10, state = 'held',"
        " place = 'held', held_at = now()"
    )
    async with spine.store.transaction() as connection:
        await end_unstarted(connection, (), [task], [], TaskState.FAILED, NOW, ("BreakerOpen", "no"))
    assert [row["state"] for row in await spine.rows("SELECT state FROM task")] == ["cancelled"]
    assert await spine.counters() == {"submitted": 1, "cancelled": 1}
