"""What Celery was told to revoke: a request to cancel, with who asked."""

import math

import pytest
import uuid_utils

from pointsman_contract.queues import list_key
from pointsman_service.reconcile.cancelled import CancelledSweep
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)
BY = "celery control revoke on w@h"


async def submitted(spine: Spine) -> str:
    task = new_task(max_attempts=4)
    await spine.commits.join(task)
    await spine.commits.drain()
    return task.id


async def test_what_waits_ends_as_cancelled_and_says_by_whom(spine: Spine) -> None:
    await submitted(spine)
    (row,) = await spine.rows("SELECT id::text FROM task_live")
    await spine.append("revoked", row["id"], by=BY, kill=False)
    await spine.append("revoked", str(uuid_utils.uuid7()), by=BY, kill=True)
    await spine.record_all()
    async with spine.recording():
        await CancelledSweep(spine.store, spine.server, spine.settings).single_pass()
    assert await spine.rows("SELECT state, attempt, cancel_requested_by FROM task") == [
        {"state": "cancelled", "attempt": 0, "cancel_requested_by": BY}
    ]


@pytest.mark.parametrize(("kill", "grace"), [(False, math.inf), (True, 0.0)])
async def test_what_runs_is_ended_only_if_asked_for(spine: Spine, kill: bool, grace: float) -> None:
    task = await submitted(spine)
    message = await spine.message(MAINTENANCE)
    assert message is not None
    await spine.gate(message)
    await spine.append("revoked", task, by=BY, kill=kill)
    await spine.record_all()
    assert await spine.rows("SELECT state, cancel_grace_seconds FROM task_live") == [
        {"state": "running", "cancel_grace_seconds": grace}
    ]


async def test_a_gentler_request_takes_none_back(spine: Spine) -> None:
    task = await submitted(spine)
    await spine.append("revoked", task, by=BY, kill=True)
    await spine.append("revoked", task, by="somebody else", kill=False)
    await spine.record_all()
    assert await spine.rows("SELECT cancel_grace_seconds, cancel_requested_by FROM task_live") == [
        {"cancel_grace_seconds": 0.0, "cancel_requested_by": BY}
    ]


async def test_an_attempt_that_was_killed_for_it_is_cancelled_and_not_retried(spine: Spine) -> None:
    task = await submitted(spine)
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message)
    await spine.append("revoked", task, by=BY, kill=True)
    error = {"type": "WorkerLost", "message": "killed", "traceback": ""}
    await spine.report(message, verdict, "failed", error=error, retry_in_seconds=0.0)
    await spine.record_all()
    assert await spine.rows("SELECT state, attempt FROM task") == [{"state": "cancelled", "attempt": 1}]
