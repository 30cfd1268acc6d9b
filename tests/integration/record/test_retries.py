"""Retries as rows: what the recorder makes of failures that another attempt may follow."""

from typing import Any

import pytest

from pointsman_contract.queues import list_key
from pointsman_service.reconcile.due import DueSweep
from pointsman_service.reconcile.expired import ExpiredSweep
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)
ERROR = {"type": "ValueError", "message": "no", "traceback": "Traceback …"}


async def first_message(spine: Spine, **changes: Any) -> dict[str, Any]:
    """The message of a new task with four attempts, taken from its list."""
    await spine.commits.join(new_task(**({"max_attempts": 4} | changes)))
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    return message


async def fail(spine: Spine, message: dict[str, Any], token: str = "token", **more: Any) -> list[Any]:
    """Run a message and fail, to be retried in a minute."""
    verdict = await spine.gate(message, token)
    assert verdict[0] == b"run"
    await spine.report(message, verdict, "failed", token, **({"error": ERROR, "retry_in_seconds": 60.0} | more))
    return verdict


async def next_message(spine: Spine) -> dict[str, Any]:
    """Let the waiting time pass and take the next message."""
    await spine.run("UPDATE task_live SET due_at = now() WHERE state = 'retrying'")
    await DueSweep(spine.store, spine.settings).single_pass()
    await spine.dispatcher.single_pass()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    return message


async def test_a_failed_attempt_waits_for_the_next_one_as_a_row(spine: Spine) -> None:
    message = await first_message(spine)
    await fail(spine, message)
    await spine.record_all()
    (row,) = await spine.rows(
        "SELECT state, place, attempt, sla_met, extract(epoch FROM due_at - now())::float8 AS wait FROM task_live"
    )
    assert 50 < row.pop("wait") <= 60.5
    assert row == {"state": "retrying", "place": "asleep", "attempt": 1, "sla_met": True}
    (attempt,) = await spine.rows("SELECT attempt, error_type, error_message, run_seconds FROM task_attempt")
    assert attempt == {"attempt": 1, "error_type": "ValueError", "error_message": "no", "run_seconds": 0.25}
    counted = {"submitted": 1, "started": 1, "executions": 1, "retried": 1, "sla_met": 1}
    assert await spine.counters() == counted


async def test_the_next_attempt_runs_and_ends_the_task(spine: Spine) -> None:
    await fail(spine, await first_message(spine))
    await spine.record_all()
    message = await next_message(spine)
    header = message["headers"]["pointsman"]
    assert (header["after"], header["dispatch"], header["max_attempts"]) == (1, 2, 4)
    verdict = await spine.gate(message, "second")
    assert verdict[:2] == [b"run", 2]
    await spine.report(message, verdict, token="second")
    await spine.record_all()
    (row,) = await spine.rows("SELECT state, attempt, sla_met, error_type FROM task")
    assert row == {"state": "succeeded", "attempt": 2, "sla_met": True, "error_type": None}
    assert await spine.counters() == {
        "submitted": 1, "started": 2, "executions": 2, "retried": 1, "succeeded": 1, "sla_met": 1,
    }  # fmt: skip


async def test_the_last_attempt_of_the_budget_fails_the_task(spine: Spine) -> None:
    message = await first_message(spine, max_attempts=2)
    await fail(spine, message)
    await spine.record_all()
    await fail(spine, await next_message(spine), "second")
    await spine.record_all()
    (row,) = await spine.rows("SELECT state, attempt, error_type FROM task")
    assert row == {"state": "failed", "attempt": 2, "error_type": "ValueError"}
    assert [found["attempt"] for found in await spine.rows("SELECT attempt FROM task_attempt ORDER BY attempt")] == [
        1,
        2,
    ]
    assert await spine.counters() == {
        "submitted": 1, "started": 2, "executions": 2, "retried": 1, "failed": 1, "sla_met": 1,
    }  # fmt: skip


@pytest.mark.parametrize("more", [{"retry_in_seconds": None}, {"permanent": True}])
async def test_a_permanent_failure_ends_the_task_whatever_its_budget(spine: Spine, more: dict[str, Any]) -> None:
    await fail(spine, await first_message(spine), **more)
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "failed"}]


async def test_the_budget_that_the_attempt_named_counts_for_it(spine: Spine) -> None:
    await fail(spine, await first_message(spine, max_attempts=1), max_attempts=2)
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task_live") == [{"state": "retrying"}]


async def test_a_failure_reported_again_changes_nothing(spine: Spine) -> None:
    message = await first_message(spine)
    verdict = await fail(spine, message)
    await spine.record_all()
    before = await spine.rows("SELECT * FROM task_live")
    counters = await spine.counters()
    for _ in range(2):
        await spine.report(message, verdict, "failed", error=ERROR, retry_in_seconds=5.0)
        await spine.record_all()
    assert await spine.rows("SELECT * FROM task_live") == before
    assert await spine.counters() == counters


async def test_a_failure_reported_again_does_not_touch_the_next_attempt(spine: Spine) -> None:
    message = await first_message(spine)
    verdict = await fail(spine, message)
    await spine.record_all()
    await spine.gate(await next_message(spine), "second")
    # The old outcome again, in one batch with the start of the second attempt.
    await spine.report(message, verdict, "failed", error=ERROR, retry_in_seconds=5.0)
    await spine.record_all()
    assert await spine.rows("SELECT state, attempt FROM task_live") == [{"state": "running", "attempt": 2}]
    assert (await spine.counters())["retried"] == 1


async def test_a_late_success_of_an_earlier_attempt_ends_a_waiting_task(spine: Spine) -> None:
    message = await first_message(spine)
    verdict = await fail(spine, message)
    await spine.record_all()
    await spine.report(message, verdict)
    await spine.record_all()
    assert await spine.rows("SELECT state, attempt FROM task") == [{"state": "succeeded", "attempt": 1}]


async def test_a_task_that_waits_for_its_next_attempt_expires(spine: Spine) -> None:
    await fail(spine, await first_message(spine))
    await spine.record_all()
    await spine.run("UPDATE task_live SET expires_at = now()")
    await ExpiredSweep(spine.store, spine.server, spine.settings).single_pass()
    assert await spine.rows("SELECT state, attempt FROM task") == [{"state": "expired", "attempt": 1}]


async def test_progress_is_kept_for_the_attempt_that_runs(spine: Spine) -> None:
    message = await first_message(spine)
    verdict = await spine.gate(message)
    task = message["headers"]["id"]

    async def tell(text: str, attempt: int = 1) -> None:
        await spine.append("progress", task, attempt=attempt, progress=text)
        await spine.record_all()

    await tell('{"current":1}')
    await tell('{"current":2}')
    await tell('{"current":9}', attempt=2)
    assert await spine.rows("SELECT progress FROM task_live") == [{"progress": '{"current":2}'}]
    await spine.report(message, verdict, "failed", error=ERROR, retry_in_seconds=1.0)
    await spine.record_all()
    await tell('{"current":3}')
    assert await spine.rows("SELECT progress FROM task_live") == [{"progress": None}], "the next attempt begins anew"


async def test_the_last_progress_of_an_attempt_goes_with_its_outcome(spine: Spine) -> None:
    message = await first_message(spine)
    await spine.report(message, await spine.gate(message), progress='{"current":3}')
    await spine.record_all()
    assert await spine.rows("SELECT progress FROM task") == [{"progress": '{"current":3}'}]


async def test_a_budget_that_no_column_takes_is_bounded(spine: Spine) -> None:
    await fail(spine, await first_message(spine), max_attempts=10**12)
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task_live") == [{"state": "retrying"}]
