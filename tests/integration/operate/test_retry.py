import asyncio
from typing import Any

import httpx
import pytest

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.states import TaskState
from pointsman_service.store.workers import catalogue
from tests.integration.operate.ended import PROBLEM, ended
from tests.integration.operate.test_cancel import MAINTENANCE, submitted
from tests.integration.spine import Spine

TAKES: dict[str, Any] = {
    "url_argument": "url",
    "extra_positional": True,
    "arguments_schema": {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]},
}


async def publish(spine: Spine, spec: TaskTypeSpec) -> None:
    async with spine.store.statement() as connection:
        await catalogue.publish(connection, "w@h#2", [spec])


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix(PROBLEM)


@pytest.mark.parametrize("state", ["failed", "cancelled", "expired"])
async def test_an_ended_task_runs_again_as_a_new_one_that_names_it(
    spine: Spine, api: httpx.AsyncClient, state: str
) -> None:
    old = await ended(spine, state)
    answer = await api.post(f"/v1/tasks/{old}/retry")
    assert answer.status_code == 202, answer.text
    new = answer.json()
    assert answer.headers["location"] == f"/v1/tasks/{new['id']}"
    assert (new["state"], new["replayed_from"], new["attempt"], new["max_attempts"]) == ("queued", old, 0, 2)
    assert (new["kwargs"], new["tags"], new["priority"]) == ({"a": 1}, {"tenant": "7"}, 9)
    assert (new["expires_at"], new["error"]) == (None, None)
    await spine.dispatcher.single_pass()
    message = await spine.message("maintenance\x06\x161")
    assert message is not None
    assert (message["headers"]["id"], message["headers"]["pointsman"]["after"]) == (new["id"], 0)
    seen = (await api.get(f"/v1/tasks/{old}")).json()
    assert (seen["state"], seen["replayed_as"]) == (state, new["id"])
    await spine.report(message, await spine.gate(message))
    await spine.record_all()
    assert (await api.get(f"/v1/tasks/{new['id']}")).json()["replayed_from"] == old
    assert (await spine.counters())["submitted"] == 1


async def test_a_task_runs_again_with_other_arguments_queue_and_priority(spine: Spine, api: httpx.AsyncClient) -> None:
    await publish(spine, TaskTypeSpec(name="noop", time_limit_seconds=30, dependencies=["ldap"], **TAKES))
    old = await ended(spine, args=[1])
    body = {"args": [], "kwargs": {"url": "https://b.example/x", "a": 2}, "queue": "reports", "priority": 6}
    new = (await api.post(f"/v1/tasks/{old}/retry", json=body)).json()
    assert {name: new[name] for name in body} == body
    assert set(new["dependencies"]) == {"ldap", "b.example"}
    assert (new["tags"], new["sla"]["target_seconds"]) == ({"tenant": "7"}, 60.0)
    await spine.dispatcher.single_pass()
    message = await spine.message("reports\x06\x164")
    assert message is not None
    assert (await api.get(f"/v1/tasks/{old}")).json()["args"] == [1]


async def test_other_arguments_are_checked_as_those_of_a_submission(spine: Spine, api: httpx.AsyncClient) -> None:
    await publish(spine, TaskTypeSpec(name="noop", time_limit_seconds=30, **TAKES))
    old = await ended(spine)
    for body, expected in (
        ({"kwargs": {"url": 7}}, (422, "invalid-arguments")),
        ({"kwargs": {}}, (422, "invalid-arguments")),
        ({"args": {}}, (422, "invalid-request")),
        ({"kwargs": {"url": "a\x00b"}}, (422, "invalid-request")),
        ({"kwargs": {"url": "x"}, "queue": "nowhere"}, (422, "unknown-queue")),
        ({"kwargs": {"url": "x"}, "priority": 11}, (422, "invalid-request")),
        ({"tags": {}}, (422, "invalid-request")),
    ):
        assert problem(await api.post(f"/v1/tasks/{old}/retry", json=body)) == expected, body
    key = {"Idempotency-Key": "other"}
    for url, status in (("x", 202), ("x", 200), ("y", 422)):
        answer = await api.post(f"/v1/tasks/{old}/retry", json={"kwargs": {"url": url}}, headers=key)
        assert answer.status_code == status


async def test_a_task_that_has_not_ended_or_has_succeeded_is_not_retried(spine: Spine, api: httpx.AsyncClient) -> None:
    waits = await submitted(spine)
    assert problem(await api.post(f"/v1/tasks/{waits}/retry")) == (409, "task-not-finished")
    done = await ended(spine, "succeeded")
    assert problem(await api.post(f"/v1/tasks/{done}/retry")) == (409, "task-succeeded")
    for unknown in ("01a20271-c811-71a5-99c0-510fde22a57d", "seven"):
        assert problem(await api.post(f"/v1/tasks/{unknown}/retry")) == (404, "unknown-task")


async def test_a_task_is_retried_once_and_the_second_call_names_what_it_became(
    spine: Spine, api: httpx.AsyncClient
) -> None:
    old = await ended(spine)
    new = (await api.post(f"/v1/tasks/{old}/retry")).json()["id"]
    again = await api.post(f"/v1/tasks/{old}/retry")
    assert (problem(again), again.json()["task_id"]) == ((409, "task-replayed"), new)
    assert len(await spine.rows("SELECT id FROM task_live")) == 1


async def test_the_same_key_gives_the_same_task_and_another_call_with_it_is_refused(
    spine: Spine, api: httpx.AsyncClient
) -> None:
    old, other = await ended(spine), await ended(spine)
    key = {"Idempotency-Key": "again-1"}
    first = await api.post(f"/v1/tasks/{old}/retry", headers=key)
    second = await api.post(f"/v1/tasks/{old}/retry", headers=key)
    assert (first.status_code, second.status_code) == (202, 200)
    assert second.headers["idempotency-replayed"] == "true"
    assert first.json()["id"] == second.json()["id"]
    reused = await api.post(f"/v1/tasks/{other}/retry", headers=key)
    assert problem(reused) == (422, "idempotency-key-reused")
    assert reused.json()["task_id"] == first.json()["id"]


async def test_keys_of_submissions_retries_and_replays_are_not_one_anothers(
    spine: Spine, api: httpx.AsyncClient
) -> None:
    old = await ended(spine)
    calls = [
        ("/v1/tasks", {"task_type": "noop"}),
        (f"/v1/tasks/{old}/retry", {}),
        ("/v1/dead-letters/replay", {"task_type": "noop"}),
    ]
    for expected in (202, 200):
        answers = [await api.post(path, json=body, headers={"Idempotency-Key": "one"}) for path, body in calls]
        assert [answer.status_code for answer in answers] == [expected] * 3
    other = await api.post("/v1/dead-letters/replay", json={"queue": "email"}, headers={"Idempotency-Key": "one"})
    assert problem(other) == (422, "idempotency-key-reused")
    assert answers[2].json()["replay_id"] in other.json()["detail"]


async def test_an_act_of_the_release_before_is_known_by_its_key(spine: Spine, api: httpx.AsyncClient) -> None:
    old = await ended(spine)
    key = {"Idempotency-Key": "before"}
    first = await api.post(f"/v1/tasks/{old}/retry", headers=key)
    await spine.run("UPDATE idempotency_key SET key = 'before'")
    second = await api.post(f"/v1/tasks/{old}/retry", headers=key)
    assert (second.status_code, second.json()["id"]) == (200, first.json()["id"])


async def test_a_key_is_forgotten_after_a_day_though_no_sweep_came_by(spine: Spine, api: httpx.AsyncClient) -> None:
    old, other = await ended(spine), await ended(spine)
    key = {"Idempotency-Key": "daily"}
    await api.post(f"/v1/tasks/{old}/retry", headers=key)
    await spine.run("UPDATE idempotency_key SET created_at = now() - interval '25 hours'")
    assert (await api.post(f"/v1/tasks/{other}/retry", headers=key)).status_code == 202


@pytest.mark.parametrize("keyed", [True, False])
async def test_race_of_many_retries_makes_one_task(spine: Spine, api: httpx.AsyncClient, keyed: bool) -> None:
    old = await ended(spine)
    headers = {"Idempotency-Key": "race"} if keyed else {}
    answers = await asyncio.gather(*(api.post(f"/v1/tasks/{old}/retry", headers=headers) for _ in range(12)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == ([200] * 11 + [202] if keyed else [202] + [409] * 11)
    (row,) = await spine.rows("SELECT id, replayed_from FROM task_live")
    assert str(row["replayed_from"]) == old
    named = {answer.json().get("task_id") or answer.json()["id"] for answer in answers}
    assert named == {str(row["id"])}


async def test_a_task_whose_type_arguments_or_queue_are_gone_is_refused(spine: Spine, api: httpx.AsyncClient) -> None:
    unknown = await ended(spine, task_type="was.removed")
    assert problem(await api.post(f"/v1/tasks/{unknown}/retry")) == (422, "unknown-task-type")
    lost = await ended(spine, queue="was_removed")
    assert problem(await api.post(f"/v1/tasks/{lost}/retry")) == (422, "unknown-queue")
    assert await spine.rows("SELECT task_id FROM replayed_task") == []


async def test_a_retried_task_that_fails_again_is_retried_by_its_own_id(spine: Spine, api: httpx.AsyncClient) -> None:
    old = await ended(spine, "cancelled")
    new = (await api.post(f"/v1/tasks/{old}/retry")).json()["id"]
    assert (await api.post(f"/v1/tasks/{new}/cancel")).json()["state"] == TaskState.CANCELLED
    newest = (await api.post(f"/v1/tasks/{new}/retry")).json()
    assert newest["replayed_from"] == new
    assert await spine.message(MAINTENANCE) is None
