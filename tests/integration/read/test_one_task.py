from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from pointsman_contract.queues import list_key, step_of
from pointsman_service.api.tasks.view import TaskView, task_view
from pointsman_service.store.tasks import reading
from tests.integration.spine import Spine, new_task


async def run_one(spine: Spine, task_id: str, priority: int = 3, **report: Any) -> None:
    """A worker takes the task, runs it and reports; the recorder writes it down."""
    await spine.open_epoch()
    await spine.dispatcher.single_pass()
    message = await spine.message(list_key("maintenance", step_of(priority)))
    assert message is not None
    assert message["headers"]["id"] == task_id
    verdict = await spine.gate(message)
    await spine.report(message, verdict, **report)
    await spine.record_all()


async def test_accepted_task_is_found_before_it_starts(api: httpx.AsyncClient, spine: Spine) -> None:
    scheduled_at = datetime(2126, 1, 2, 3, 4, 5, tzinfo=UTC)
    task = new_task(
        args='[1, {"a": null}]',
        kwargs='{"to": "ä"}',
        tags='{"tenant": "42"}',
        scheduled_at=scheduled_at,
        expires_at=scheduled_at + timedelta(hours=1),
        requested_timeout_seconds=0.1,
    )
    await spine.commits.join(task)

    answer = await api.get(f"/v1/tasks/{task.id}")

    assert answer.status_code == 200
    body = answer.json()
    TaskView.model_validate_json(answer.content, strict=True)
    assert set(body) == set(TaskView.model_fields)
    assert body["args"] == [1, {"a": None}]
    assert body["kwargs"] == {"to": "ä"}
    assert body["tags"] == {"tenant": "42"}
    assert body["state"] == "scheduled"
    assert body["scheduled_at"] == body["due_at"] == "2126-01-02T03:04:05Z"
    assert body["expires_at"] == "2126-01-02T04:04:05Z"
    assert body["timeout_seconds"] == 0.1
    assert body["submitted_at"].endswith("Z")
    assert (body["attempt"], body["dispatch"], body["sla"]) == (0, 0, {"target_seconds": 300.0, "met": None})
    assert body["result"] is body["error"] is body["started_at"] is body["queue_wait_seconds"] is None


async def test_view_of_a_receipt_equals_the_stored_row(api: httpx.AsyncClient, spine: Spine) -> None:
    task = new_task(tags='{"a": "b"}', delay_seconds=60.0, sla_seconds=0.3)
    receipt = await spine.commits.join(task)

    assert (await api.get(f"/v1/tasks/{task.id}")).json() == task_view(task.as_row(receipt.submitted_at))


async def test_succeeded_task_has_its_result_and_durations(api: httpx.AsyncClient, spine: Spine) -> None:
    task = new_task()
    await spine.commits.join(task)
    await run_one(spine, task.id, result='{"n": 12345678901234567890}')

    body = (await api.get(f"/v1/tasks/{task.id}")).json()

    TaskView.model_validate(body)
    assert body["state"] == "succeeded"
    assert body["result"] == {"n": 12345678901234567890}
    assert body["run_seconds"] == 0.25
    assert 0 <= body["queue_wait_seconds"] < 60
    assert body["sla"]["met"] is True
    assert body["worker"] == "w@h"
    assert body["finished_at"] >= body["started_at"] >= body["due_at"]


async def test_failed_task_tells_its_error_and_its_attempt(api: httpx.AsyncClient, spine: Spine) -> None:
    task = new_task()
    await spine.commits.join(task)
    error = {"type": "ValueError", "message": "no", "traceback": "Traceback"}
    await run_one(spine, task.id, kind="failed", error=error)

    body = (await api.get(f"/v1/tasks/{task.id}")).json()
    attempts = (await api.get(f"/v1/tasks/{task.id}/attempts")).json()

    assert body["state"] == "failed"
    group = body["error"].pop("group")
    assert body["error"] == error
    (found,) = attempts["items"]
    assert (found["attempt"], found["state"], found["error"]) == (1, "failed", error | {"group": group})


async def test_running_attempt_is_listed_without_an_end(api: httpx.AsyncClient, spine: Spine) -> None:
    task = new_task()
    await spine.commits.join(task)
    await spine.run(
        "UPDATE task_live SET place = 'sent', state = 'running', attempt = 1, started_at = now(), worker = 'w'"
    )

    (attempt,) = (await api.get(f"/v1/tasks/{task.id}/attempts")).json()["items"]

    assert (attempt["state"], attempt["worker"], attempt["finished_at"]) == ("running", "w", None)


async def test_task_that_never_started_has_no_attempts(api: httpx.AsyncClient, spine: Spine) -> None:
    task = new_task()
    await spine.commits.join(task)

    assert (await api.get(f"/v1/tasks/{task.id}/attempts")).json() == {"items": [], "next_cursor": None}


async def test_many_attempts_are_read_page_by_page_and_none_twice(api: httpx.AsyncClient, spine: Spine) -> None:
    task = new_task(max_attempts=1000)
    await spine.commits.join(task)
    await spine.run("UPDATE task_live SET place = 'sent', state = 'running', attempt = 121, started_at = now()")
    await spine.run(
        "INSERT INTO task_attempt (task_id, attempt, worker, started_at, finished_at, run_seconds, error_type,"
        " error_message, error_traceback) SELECT :id, n, 'w', now(), now(), 0, 'ValueError', repeat('m', 2000),"
        " repeat('t', 8000) FROM generate_series(1, 120) n",
        id=task.id,
    )

    pages: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = await api.get(f"/v1/tasks/{task.id}/attempts", params={"limit": "60", **cursor})
        pages.append(page.json()["items"])
        assert len(page.content) < 60 * 11_000
        if page.json()["next_cursor"] is None:
            break
        cursor = {"cursor": page.json()["next_cursor"]}

    assert [[found["attempt"] for found in items] for items in pages] == [
        list(range(1, 61)),
        list(range(61, 121)),
        [121],
    ]
    assert (pages[0][0]["error"]["traceback"], pages[2][0]["state"]) == ("t" * 8000, "running")
    assert len((await api.get(f"/v1/tasks/{task.id}/attempts")).json()["items"]) == 50
    after_all = await api.get(f"/v1/tasks/{task.id}/attempts", params={"cursor": "999999999"})
    assert after_all.json() == {"items": [], "next_cursor": None}


async def test_sla_is_missed_as_soon_as_the_target_passes_unstarted(api: httpx.AsyncClient, spine: Spine) -> None:
    task = new_task(sla_seconds=5.0)
    await spine.commits.join(task)
    assert (await api.get(f"/v1/tasks/{task.id}")).json()["sla"]["met"] is None

    await spine.run("UPDATE task_live SET due_at = now() - interval '6 seconds'")

    assert (await api.get(f"/v1/tasks/{task.id}")).json()["sla"]["met"] is False


@pytest.mark.parametrize("suffix", ["", "/attempts"])
@pytest.mark.parametrize(
    "task_id", [str(uuid4()), "nonsense", "%00", "{123}", "urn:uuid:01a20271-c811-71a5-99c0-510fde22a57d"]
)
async def test_unknown_id_is_404_whatever_it_looks_like(api: httpx.AsyncClient, task_id: str, suffix: str) -> None:
    answer = await api.get(f"/v1/tasks/{task_id}{suffix}")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:pointsman:problem:unknown-task"


async def test_a_deep_result_is_json_as_any_other(api: httpx.AsyncClient, spine: Spine) -> None:
    task = new_task()
    await spine.commits.join(task)
    deep = "[" * 700 + "]" * 700
    await run_one(spine, task.id, result=deep)

    answer = await api.get(f"/v1/tasks/{task.id}")

    assert answer.status_code == 200
    assert f'"result":{deep},' in answer.text


async def test_task_on_its_way_to_history_is_seen_exactly_once(spine: Spine) -> None:
    task = new_task()
    await spine.commits.join(task)
    async with spine.store.statement() as reader, spine.store.transaction() as mover:
        await mover.execute(text("DELETE FROM task_live"))
        seen = await reading.task(reader, task.id)

    assert seen is not None
    assert seen["state"] == "queued"
