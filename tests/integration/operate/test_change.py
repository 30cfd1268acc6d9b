from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx

from pointsman_contract.queues import list_key
from pointsman_service.reconcile.due import DueSweep
from tests.integration.operate.ended import PROBLEM, ended
from tests.integration.operate.test_cancel import ERROR, MAINTENANCE, submitted, taken
from tests.integration.spine import Spine

LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=3)


async def change(api: httpx.AsyncClient, task: UUID | str, **body: Any) -> dict[str, Any]:
    answer = await api.patch(f"/v1/tasks/{task}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    seen = (await api.get(f"/v1/tasks/{task}")).json()
    assert seen | {"held_seconds": 0} == found | {"held_seconds": 0}
    return found


async def refused(api: httpx.AsyncClient, task: UUID | str, **body: Any) -> tuple[int, str]:
    answer = await api.patch(f"/v1/tasks/{task}", json=body or {"priority": 1})
    return answer.status_code, answer.json()["type"].removeprefix(PROBLEM)


async def waits(spine: Spine, **changes: Any) -> UUID:
    """A task that is due and not sent."""
    spine.window.shut()
    return await submitted(spine, **changes)


async def hold(spine: Spine, task: UUID) -> None:
    await spine.run(
        "UPDATE task_live SET state = 'held', place = 'held', held_reason = 'breaker:dependency:smtp',"
        " held_at = now() - interval '7 seconds' WHERE id = :id",
        id=task,
    )


async def test_the_more_urgent_and_the_moved_one_are_sent_so(spine: Spine, api: httpx.AsyncClient) -> None:
    first, urgent, moved = [await waits(spine) for _ in range(3)]
    assert (await change(api, urgent, priority=9, reason="the customer waits"))["priority"] == 9
    assert (await change(api, moved, queue="reports"))["sla"]["target_seconds"] == 60.0
    await spine.dispatcher.single_pass()
    sent = [await spine.message(list_key("maintenance", step)) for step in (1, 7)]
    sent.append(await spine.message(list_key("reports", 7)))
    assert [message and message["headers"]["id"] for message in sent] == [str(urgent), str(first), str(moved)]


async def test_what_is_due_later_runs_now(spine: Spine, api: httpx.AsyncClient) -> None:
    task = await submitted(spine, scheduled_at=LATER)
    found = await change(api, task, delay_seconds=0)
    assert (found["state"], found["scheduled_at"], found["delay_seconds"]) == ("queued", None, None)
    assert datetime.fromisoformat(found["due_at"]) <= datetime.now(UTC)
    # Asked again, it changes nothing more.
    assert (await change(api, task, delay_seconds=0))["state"] == "queued"
    await spine.dispatcher.single_pass()
    message = await taken(spine)
    assert (await spine.gate(message))[0] == b"run"
    await spine.record_all()
    (row,) = await spine.rows("SELECT due_at > submitted_at AS anew, sla_met FROM task_live")
    assert row["anew"]


async def test_a_retry_runs_now_with_the_attempts_it_had(spine: Spine, api: httpx.AsyncClient) -> None:
    task = await submitted(spine)
    message = await taken(spine)
    await spine.report(message, await spine.gate(message), "failed", error=ERROR, retry_in_seconds=900.0)
    await spine.record_all()
    assert (await change(api, task, delay_seconds=0))["state"] == "queued"
    await spine.dispatcher.single_pass()
    assert (await spine.gate(await taken(spine)))[:2] == [b"run", 2]


async def test_what_waits_is_put_off(spine: Spine, api: httpx.AsyncClient) -> None:
    queued, held, retried = await waits(spine), await waits(spine), await waits(spine)
    await hold(spine, held)
    await spine.run("UPDATE task_live SET attempt = 1 WHERE id = :id", id=retried)
    for task, state in ((queued, "scheduled"), (held, "scheduled"), (retried, "retrying")):
        found = await change(api, task, scheduled_at=LATER.isoformat())
        assert (found["state"], found["held_reason"]) == (state, None)
        assert datetime.fromisoformat(found["due_at"]) == datetime.fromisoformat(found["scheduled_at"]) == LATER
    assert 7 <= (await api.get(f"/v1/tasks/{held}")).json()["held_seconds"] < 60
    await spine.dispatcher.single_pass()
    assert await spine.message(MAINTENANCE) is None
    await spine.run("UPDATE task_live SET due_at = now()")
    await DueSweep(spine.store, spine.settings).single_pass()
    assert await spine.rows("SELECT DISTINCT state, place FROM task_live") == [{"state": "queued", "place": "waiting"}]


async def test_a_circuit_breaker_holds_what_is_to_run_now(spine: Spine, api: httpx.AsyncClient) -> None:
    task = await waits(spine)
    await hold(spine, task)
    found = await change(api, task, delay_seconds=0, priority=10)
    assert (found["state"], found["held_reason"], found["priority"]) == ("held", "breaker:dependency:smtp", 10)


async def test_what_was_sent_runs_ends_or_has_ended_is_not_changed(spine: Spine, api: httpx.AsyncClient) -> None:
    sent = await submitted(spine)
    answer = await api.patch(f"/v1/tasks/{sent}", json={"priority": 10})
    assert (answer.status_code, answer.json()["type"]) == (409, PROBLEM + "task-not-waiting")
    assert "Pause its queue" in answer.json()["detail"]
    message = await taken(spine)
    await spine.gate(message)
    await spine.record_all()
    assert await refused(api, sent) == (409, "task-not-waiting")
    cancelled = await waits(spine)
    await spine.run("UPDATE task_live SET cancel_requested_at = now() WHERE id = :id", id=cancelled)
    assert await refused(api, cancelled) == (409, "task-not-waiting")
    alone = await waits(spine)
    await hold(spine, alone)
    await spine.run("UPDATE task_live SET held_reason = 'quarantine' WHERE id = :id", id=alone)
    assert await refused(api, alone) == (409, "task-not-waiting")
    assert await refused(api, await ended(spine)) == (409, "task-finished")
    assert await refused(api, uuid4()) == await refused(api, "seven") == (404, "unknown-task")
    assert await spine.rows("SELECT DISTINCT priority, queue FROM task_live") == [
        {"priority": 3, "queue": "maintenance"}
    ]


async def test_a_paused_task_that_was_sent_comes_back_and_is_changed(spine: Spine, api: httpx.AsyncClient) -> None:
    task = await submitted(spine)
    await api.post("/v1/queues/maintenance/pause", json={"reason": "to move what was sent"})
    assert await spine.gate(await taken(spine)) == [b"paused"]
    await spine.record_all()
    assert (await change(api, task, queue="reports"))["queue"] == "reports"


async def test_a_change_that_is_not_understood_is_refused(spine: Spine, api: httpx.AsyncClient) -> None:
    task = await waits(spine, expires_at=LATER)
    for body, pointer in (
        ({}, ""),
        ({"reason": "x"}, ""),
        ({"priority": 11}, "/priority"),
        ({"queue": "nowhere"}, "/queue"),
        ({"state": "succeeded"}, "/state"),
        ({"delay_seconds": 1, "scheduled_at": LATER.isoformat()}, "/delay_seconds"),
        ({"scheduled_at": LATER.isoformat()}, "/scheduled_at"),
        ({"delay_seconds": 86_400.0}, "/delay_seconds"),
    ):
        answer = await api.patch(f"/v1/tasks/{task}", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), body
    assert await spine.rows("SELECT state, due_at = submitted_at AS same FROM task_live") == [
        {"state": "queued", "same": True}
    ]
