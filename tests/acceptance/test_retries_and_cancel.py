"""Attempts, progress and cancel, through HTTP and real workers."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stand.stack import Row, Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


@pytest.mark.parametrize("how", ["raise", "retry"])
async def test_a_task_that_fails_twice_succeeds_in_its_third_attempt(stack: Stack, how: str) -> None:
    before = await stack.counters("ledger.flaky")

    task = await stack.finished(await stack.submit("ledger.flaky", args=[2, how]))

    assert (task["state"], task["attempt"], task["max_attempts"]) == ("succeeded", 3, 4)
    assert task["result"] == [3, 4, 2]
    assert task["error"] is None
    answer = await stack.http.get(f"/v1/tasks/{task['id']}/attempts")
    attempts = answer.json()["items"]
    assert [(one["attempt"], one["state"]) for one in attempts] == [(1, "failed"), (2, "failed"), (3, "succeeded")]
    assert [one["error"]["message"] for one in attempts[:2]] == ["attempt 1", "attempt 2"]
    assert Counter(stack.ledger.lines())[task["id"], 1] == 1
    assert stack.ledger.effects()[task["id"]] == 3
    after = await stack.counters("ledger.flaky")
    counted = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert counted == {"submitted": 1, "started": 3, "executions": 3, "retried": 2, "succeeded": 1, "sla_met": 1}


async def test_a_task_whose_attempts_are_spent_is_failed(stack: Stack) -> None:
    task = await stack.finished(await stack.submit("ledger.flaky", args=[9], max_attempts=2))
    assert (task["state"], task["attempt"], task["error"]["message"]) == ("failed", 2, "attempt 2")
    assert task["error"]["type"] == "ConnectionError"


async def test_a_task_between_two_attempts_says_why_and_when(stack: Stack) -> None:
    submitted = await stack.submit("fail", args=["no such customer"])
    task = await stack.wait_for_state(submitted, "retrying")
    assert task["error"]["message"] == "no such customer"
    assert task["scheduled_at"] == task["due_at"] > task["started_at"]
    assert task["queue_wait_seconds"] is None
    cancelled = await stack.http.post(f"/v1/tasks/{submitted}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")


async def test_a_killed_child_costs_an_attempt_and_the_task_goes_on(stack: Stack) -> None:
    task = await stack.finished(await stack.submit("ledger.die", args=[1]))
    assert (task["state"], task["attempt"], task["result"]) == ("succeeded", 2, 2)
    attempts = (await stack.http.get(f"/v1/tasks/{task['id']}/attempts")).json()["items"]
    assert attempts[0]["error"]["type"] == "WorkerLost"


async def test_progress_of_an_async_task_is_seen_while_it_runs_and_after(stack: Stack, tmp_path: Path) -> None:
    release = tmp_path / "release"
    submitted = await stack.submit("ledger.steps", args=[str(release)])

    async def says() -> Row | None:
        task = await stack.task(submitted)
        return task if task["progress"] else None

    told = (await until(says, "progress"))["progress"]
    assert (told["current"], told["total"], told["note"]) == (1, 3, "one of three")
    assert told["updated_at"]
    release.touch()
    task = await stack.finished(submitted)
    assert (task["state"], task["result"]) == ("succeeded", "done")
    assert task["progress"]["meta"] == {"current": 3, "total": 3, "file": "report.html"}


async def test_cancelled_tasks_never_run(stack: Stack, all_busy: Callable[[], None]) -> None:
    before = await stack.counters("ledger.write")
    on_broker = await stack.submit("ledger.write")
    later = await stack.submit("ledger.write", delay_seconds=3600)

    for task_id in (on_broker, later):
        answer = await stack.http.post(f"/v1/tasks/{task_id}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        again = await stack.http.post(f"/v1/tasks/{task_id}/cancel")
        assert (again.status_code, again.json()) == (200, answer.json())

    all_busy()
    # Behind the cancelled message on the same list.
    assert (await stack.finished(await stack.submit("ledger.write")))["state"] == "succeeded"
    assert not {on_broker, later} & stack.ledger.effects().keys()
    after = await stack.counters("ledger.write")
    assert after["cancelled"] - before["cancelled"] == 2


async def test_a_running_task_takes_the_request_and_a_finished_one_refuses_it(stack: Stack, tmp_path: Path) -> None:
    release = tmp_path / "release"
    running = await stack.submit("ledger.hold", args=[str(release)])
    await stack.wait_for_state(running, "running")
    requested = await stack.http.post(f"/v1/tasks/{running}/cancel", json={"end_running": False})
    assert (requested.status_code, requested.json()["state"]) == (202, "running")
    assert requested.json()["cancel_requested_at"]
    release.touch()
    assert (await stack.finished(running))["state"] == "succeeded"
    refused = await stack.http.post(f"/v1/tasks/{running}/cancel")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:pointsman:problem:task-finished")


async def test_a_running_task_that_does_not_listen_is_killed_and_ends_as_cancelled(
    stack: Stack, tmp_path: Path
) -> None:
    before = await stack.counters("ledger.hold")
    task_id = await stack.submit("ledger.hold", args=[str(tmp_path / "never")])
    await stack.wait_for_state(task_id, "running")
    answer = await stack.http.post(f"/v1/tasks/{task_id}/cancel", json={"grace_seconds": 0.5})
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    task = await stack.finished(task_id)
    assert (task["state"], task["attempt"], task["error"]["type"]) == ("cancelled", 1, "workers.TaskCancelled")
    attempts = (await stack.http.get(f"/v1/tasks/{task_id}/attempts")).json()["items"]
    assert [(one["attempt"], one["state"]) for one in attempts] == [(1, "cancelled")]
    again = await stack.http.post(f"/v1/tasks/{task_id}/cancel")
    assert (again.status_code, again.json()["state"]) == (200, "cancelled")
    # The slot is free: as many tasks as there are processes run at once.
    written = [await stack.submit("ledger.write") for _ in range(stack.processes)]
    for other in written:
        assert (await stack.finished(other))["state"] == "succeeded"
    assert stack.ledger.effects()[task_id] == 1
    after = await stack.counters("ledger.hold")
    counted = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert counted == {"submitted": 1, "started": 1, "executions": 1, "cancelled": 1, "sla_met": 1}


@pytest.mark.parametrize("body", [b'{"grace_seconds": -1}', b'{"grace": 1}', b'{"grace_seconds": "1"}', b"[]"])
async def test_a_cancel_that_is_not_understood_is_refused(stack: Stack, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    waits = await stack.submit("ledger.write", delay_seconds=3600)
    answer = await stack.http.post(f"/v1/tasks/{waits}/cancel", content=body, headers=headers)
    assert answer.status_code == 422
    assert (await stack.task(waits))["cancel_requested_at"] is None


async def test_a_task_past_its_hard_limit_tells_its_whole_story(stack: Stack, tmp_path: Path) -> None:
    before = await stack.counters("ledger.hold")
    submitted = await stack.submit(
        "ledger.hold", args=[str(tmp_path / "never")], timeout_seconds=1.5, max_attempts=2, tags={"story": "limit"}
    )
    task = await stack.finished(submitted)
    assert (task["state"], task["attempt"], task["error"]["type"]) == ("failed", 2, "TimeLimitExceeded")
    attempts = (await stack.http.get(f"/v1/tasks/{submitted}/attempts")).json()["items"]
    assert [(one["attempt"], one["state"], one["error"]["type"]) for one in attempts] == [
        (1, "failed", "TimeLimitExceeded"),
        (2, "failed", "TimeLimitExceeded"),
    ]
    assert all(one["worker"] and one["started_at"] < one["finished_at"] for one in attempts)
    assert attempts[0]["finished_at"] <= attempts[1]["started_at"]
    after = await stack.counters("ledger.hold")
    counted = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    story = {"submitted": 1, "started": 2, "executions": 2, "timed_out": 2, "retried": 1, "failed": 1, "sla_met": 1}
    assert counted == story
    assert stack.ledger.effects()[submitted] == 2


async def test_the_published_type_tells_its_retries(stack: Stack) -> None:
    found = (await stack.http.get("/v1/task-types/ledger.flaky")).json()
    assert found["max_attempts"] == 4
    assert found["retry"] == {
        "max_retries": 3,
        "interval_start": 0.0,
        "interval_step": 0.0,
        "interval_max": 0.0,
        "jitter": False,
    }
