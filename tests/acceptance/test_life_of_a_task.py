"""One task from its submission to its figures: row, counters and effect agree."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.stand.stack import Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_submitted_task_runs_once_and_row_counters_and_effect_agree(stack: Stack) -> None:
    before = await stack.counters("ledger.write")
    shown_before = await stack.metrics("ledger.write")
    body = {"task_type": "ledger.write", "args": [1, "é"], "tags": {"tenant": "42"}}

    answer = await stack.http.post("/v1/tasks", json=body, headers={"X-Request-ID": "order-7"})

    assert answer.status_code == 202
    assert answer.headers["x-request-id"] == "order-7"
    receipt = answer.json()
    assert answer.headers["location"] == f"/v1/tasks/{receipt['id']}"
    assert (receipt["state"], receipt["attempt"], receipt["result"]) == ("queued", 0, None)
    task = await stack.finished(receipt["id"])
    same = ("id", "task_type", "args", "kwargs", "tags", "queue", "priority", "submitted_at", "due_at", "max_attempts")
    assert {name: task[name] for name in same} == {name: receipt[name] for name in same}
    assert (task["args"], task["tags"]) == ([1, "é"], {"tenant": "42"})
    assert (task["state"], task["attempt"], task["error"]) == ("succeeded", 1, None)
    assert task["result"] == task["queue"] == "maintenance"
    assert moment(task["submitted_at"]) <= moment(task["started_at"]) <= moment(task["finished_at"])
    assert 0 <= task["queue_wait_seconds"] < 60
    assert 0 <= task["run_seconds"] < 60
    assert task["worker"].startswith("acceptance@")
    assert task["sla"] == {"target_seconds": 300.0, "met": True}

    assert stack.ledger.lines().count((task["id"], 1)) == stack.ledger.effects()[task["id"]] == 1
    (row,) = await stack.rows("SELECT state, attempt, sla_met, result FROM task WHERE id = :id", id=task["id"])
    assert row == {"state": "succeeded", "attempt": 1, "sla_met": True, "result": '"maintenance"'}
    assert not await stack.rows("SELECT 1 FROM task_live WHERE id = :id", id=task["id"])
    assert not await stack.rows("SELECT 1 FROM task_attempt WHERE task_id = :id", id=task["id"])
    after = await stack.counters("ledger.write")
    once = {"submitted", "started", "executions", "succeeded", "sla_met"}
    assert {name: after[name] - before[name] for name in after} == {name: int(name in once) for name in after}
    shown = await stack.metrics("ledger.write")
    for name in ("submitted", "started", "execution_count", "succeeded", "sla_met"):
        assert shown[name] - shown_before.get(name, 0) == 1, name
    assert shown["run_seconds"]["p99"] >= shown["run_seconds"]["p50"] > 0


async def test_echo_returns_its_arguments_as_they_were(stack: Stack) -> None:
    arguments: dict[str, Any] = {
        "args": [1, None, "ü\u2028😀", [[]]],
        "kwargs": {"to": "a@example.org", "deep": {"a": [1.5, True]}},
    }
    task = await stack.finished(await stack.submit("echo", **arguments))
    assert (task["state"], task["result"]) == ("succeeded", arguments)


@pytest.mark.parametrize(
    ("permanent", "error_type"), [(False, "DeliberateFailure"), (True, "DeliberatePermanentFailure")]
)
async def test_failing_task_keeps_its_error_and_its_attempt(stack: Stack, permanent: bool, error_type: str) -> None:
    before = await stack.counters("fail")

    task = await stack.finished(
        await stack.submit("fail", args=["boom"], kwargs={"permanent": permanent}, max_attempts=1)
    )

    assert (task["state"], task["attempt"], task["result"]) == ("failed", 1, None)
    assert task["error"]["type"] == f"pointsman.tasks.diagnostics.{error_type}"
    assert task["error"]["message"] == "boom"
    assert "diagnostics.py" in task["error"]["traceback"]
    attempts = await stack.http.get(f"/v1/tasks/{task['id']}/attempts")
    (attempt,) = attempts.json()["items"]
    assert attempt["run_seconds"] == pytest.approx(task["run_seconds"])
    assert {name: attempt[name] for name in ("attempt", "state", "worker", "error")} == {
        "attempt": 1,
        "state": "failed",
        "worker": task["worker"],
        "error": task["error"],
    }
    after = await stack.counters("fail")
    once = {"submitted", "started", "executions", "failed", "sla_met"}
    assert {name: after[name] - before[name] for name in after} == {name: int(name in once) for name in after}


async def test_task_past_its_timeout_fails_and_frees_its_process(stack: Stack) -> None:
    before = await stack.counters("sleep")

    hanging = [
        await stack.submit("sleep", args=[100], timeout_seconds=1, max_attempts=1) for _ in range(stack.processes)
    ]
    behind = await stack.submit("ledger.write")

    for task_id in hanging:
        task = await stack.finished(task_id)
        assert (task["state"], task["error"]["type"]) == ("failed", "TimeLimitExceeded")
        assert task["timeout_seconds"] == 1
        assert 0.5 < task["run_seconds"] < 60
    assert (await stack.finished(behind))["state"] == "succeeded"
    after = await stack.counters("sleep")
    assert after["timed_out"] - before["timed_out"] == after["failed"] - before["failed"] == stack.processes


async def test_delayed_and_scheduled_tasks_do_not_start_before_they_are_due(stack: Stack) -> None:
    at = datetime.now(UTC) + timedelta(seconds=2)
    delayed = await stack.submit("ledger.write", delay_seconds=2)
    scheduled = await stack.submit("ledger.write", scheduled_at=at.isoformat())
    past = await stack.submit("ledger.write", scheduled_at="2020-01-01T00:00:00Z")

    for task_id in (delayed, scheduled):
        task = await stack.task(task_id)
        assert (task["state"], task["started_at"], task["sla"]["met"]) == ("scheduled", None, None)
    for task_id in (delayed, scheduled, past):
        task = await stack.finished(task_id)
        assert task["state"] == "succeeded"
        assert moment(task["started_at"]) >= moment(task["due_at"])
        assert task["queue_wait_seconds"] < 60
        assert stack.ledger.effects()[task_id] == 1
    assert moment((await stack.task(scheduled))["due_at"]) == at
    task = await stack.task(delayed)
    assert moment(task["due_at"]) - moment(task["submitted_at"]) == timedelta(seconds=2)
    task = await stack.task(past)
    assert task["due_at"] == task["submitted_at"]


async def test_task_that_did_not_start_in_time_expires_and_never_runs(
    stack: Stack, all_busy: Callable[[], None]
) -> None:
    before = await stack.counters("ledger.write")
    expires_at = datetime.now(UTC) + timedelta(seconds=2.5)

    on_broker = await stack.submit("ledger.write", expires_at=expires_at.isoformat())
    delayed = await stack.submit("ledger.write", expires_at=expires_at.isoformat(), delay_seconds=0.5)
    for task_id in (on_broker, delayed):
        task = await stack.finished(task_id)
        assert (task["state"], task["attempt"], task["started_at"]) == ("expired", 0, None)
        assert moment(task["finished_at"]) >= expires_at

    all_busy()
    # Behind the expired message on the same list.
    assert (await stack.finished(await stack.submit("ledger.write")))["state"] == "succeeded"
    assert not {on_broker, delayed} & stack.ledger.effects().keys()
    after = await stack.counters("ledger.write")
    assert {name: after[name] - before[name] for name in ("submitted", "expired", "started", "succeeded")} == {
        "submitted": 3,
        "expired": 2,
        "started": 1,
        "succeeded": 1,
    }


async def test_missed_target_shows_while_the_task_waits_and_is_counted_when_it_starts(
    stack: Stack, all_busy: Callable[[], None]
) -> None:
    before = await stack.counters("ledger.add")
    waiting = await stack.submit("ledger.add", args=[1, 2], priority=10)
    assert (await stack.task(waiting))["sla"] == {"target_seconds": 2.0, "met": None}

    async def missed() -> bool:
        task = await stack.task(waiting)
        assert task["state"] == "queued"
        return task["sla"]["met"] is False

    await until(missed, "the target to pass")
    all_busy()
    task = await stack.finished(waiting)
    assert (task["result"], task["sla"]["met"]) == (3, False)
    assert task["queue_wait_seconds"] > 2
    after = await stack.counters("ledger.add")
    assert (after["sla_missed"] - before["sla_missed"], after["sla_met"] - before["sla_met"]) == (1, 0)
    assert (await stack.metrics("ledger.add"))["queue_wait_seconds"]["p99"] > 1.9


@pytest.mark.parametrize(
    ("fields", "queue", "priority"),
    [
        ({}, "maintenance", 3),
        ({"priority": 10}, "critical", 10),
        ({"priority": 9}, "high_priority", 9),
        ({"priority": 7}, "reports", 7),
        ({"priority": 5}, "maintenance", 5),
        ({"priority": 0}, "maintenance", 0),
        ({"queue": "email"}, "email", 7),
        ({"queue": "critical", "priority": 1}, "critical", 1),
        ({"queue": "external_api"}, "external_api", 5),
    ],
)
async def test_task_runs_from_the_queue_it_is_routed_to(
    stack: Stack, fields: dict[str, Any], queue: str, priority: int
) -> None:
    task = await stack.finished(await stack.submit("ledger.write", **fields))
    assert (task["queue"], task["priority"], task["state"], task["result"]) == (queue, priority, "succeeded", queue)


async def test_task_type_with_its_own_queue_goes_there_and_calls_over_http(stack: Stack) -> None:
    task = await stack.finished(await stack.submit("http_request", args=["GET", f"{stack.url}/livez"], priority=10))
    assert (task["queue"], task["state"], task["error"]) == ("external_api", "succeeded", None)
    assert (task["result"]["status"], task["result"]["body"]) == (200, '{"status":"alive"}')
