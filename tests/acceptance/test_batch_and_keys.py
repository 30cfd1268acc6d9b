"""Many tasks in one request, and the same request many times."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.stand.stack import Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

BAD_ITEMS: dict[int, Any] = {
    0: {"task_type": "nobody.knows"},
    7: {"task_type": "sleep", "kwargs": {"seconds": "ten"}},
    100: {"task_type": "ledger.write", "priority": 11},
    250: {"task_type": "ledger.write", "args": ["nul\x00"]},
    251: {"task_type": "ledger.write", "max_attempts": 0},
    300: "no object",
    499: {"task_type": "ledger.write", "queue": "nowhere"},
}


async def test_good_items_of_a_mixed_batch_run_once_and_bad_ones_do_not_touch_them(stack: Stack) -> None:
    tag = uuid4().hex
    good = {"task_type": "ledger.write", "tags": {"batch": tag}}
    items = [BAD_ITEMS.get(place, good | {"args": [place]}) for place in range(500)]

    answer = await stack.http.post("/v1/tasks/batch", json={"tasks": items})

    assert answer.status_code == 207
    body = answer.json()
    assert (body["accepted"], body["refused"]) == (500 - len(BAD_ITEMS), len(BAD_ITEMS))
    for place, result in enumerate(body["results"]):
        if place in BAD_ITEMS:
            assert (result["status"], result["problem"]["status"]) == (422, 422), place
        else:
            assert (result["status"], result["task"]["args"]) == (202, [place])
    ids = [result["task"]["id"] for result in body["results"] if result["status"] == 202]
    await _until_all_succeeded(stack, tag, len(ids))
    assert [stack.ledger.effects()[task_id] for task_id in ids] == [1] * len(ids)


async def _until_all_succeeded(stack: Stack, tag: str, tasks: int) -> None:
    async def done() -> bool:
        sql = "SELECT state, count(*) FROM task WHERE tags->>'batch' = :tag GROUP BY state"
        return [(row["state"], row["count"]) for row in await stack.rows(sql, tag=tag)] == [("succeeded", tasks)]

    await until(done, f"{tasks} tasks to succeed")


async def test_one_bad_item_refuses_an_atomic_batch_whole(stack: Stack) -> None:
    tag = uuid4().hex
    good = {"task_type": "ledger.write", "tags": {"batch": tag}}

    refused = await stack.http.post(
        "/v1/tasks/batch", json={"tasks": [good, good | {"priority": 11}, good], "atomic": True}
    )
    taken = await stack.http.post("/v1/tasks/batch", json={"tasks": [good, good], "atomic": True})

    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert [result and result["status"] for result in refused.json()["results"]] == [None, 422, None]
    assert (taken.status_code, taken.json()["accepted"]) == (202, 2)
    await _until_all_succeeded(stack, tag, 2)
    listed = await stack.http.get("/v1/tasks", params={"tag": f"batch:{tag}"})
    assert len(listed.json()["items"]) == 2


async def test_keys_of_batch_items_are_taken_once_each(stack: Stack) -> None:
    key = uuid4().hex
    first = {"task_type": "ledger.write", "args": [1], "idempotency_key": f"{key}-1"}
    second = {"task_type": "ledger.write", "args": [2], "idempotency_key": f"{key}-2"}
    other_body = first | {"args": [3]}

    once = await stack.http.post("/v1/tasks/batch", json={"tasks": [first, second, first, other_body]})
    again = await stack.http.post("/v1/tasks/batch", json={"tasks": [second, first]})
    alone = await stack.http.post(
        "/v1/tasks", json={"task_type": "ledger.write", "args": [2]}, headers={"Idempotency-Key": f"{key}-2"}
    )

    assert once.status_code == 207
    results = once.json()["results"]
    assert [result["status"] for result in results] == [202, 202, 200, 422]
    assert results[3]["problem"]["type"] == "urn:pointsman:problem:idempotency-key-reused"
    ids = [result["task"]["id"] for result in results[:2]]
    assert results[2]["task"]["id"] == ids[0]
    assert (again.status_code, [result["status"] for result in again.json()["results"]]) == (202, [200, 200])
    assert [result["task"]["id"] for result in again.json()["results"]] == ids[::-1]
    assert (alone.status_code, alone.json()["id"]) == (200, ids[1])
    for task_id in ids:
        assert (await stack.finished(task_id))["state"] == "succeeded"
        assert stack.ledger.effects()[task_id] == 1


async def test_fifty_simultaneous_calls_with_one_key_are_one_task(stack: Stack) -> None:
    key = uuid4().hex
    before = await stack.counters("ledger.write")
    body = {"task_type": "ledger.write", "args": ["once"]}

    async def call(sent_key: str) -> tuple[int, str | None, str]:
        answer = await stack.http.post("/v1/tasks", json=body, headers={"Idempotency-Key": sent_key})
        return answer.status_code, answer.headers.get("idempotency-replayed"), answer.json()["id"]

    # The draft's structured form and the bare string are the same key.
    answers = await asyncio.gather(*(call(f'"{key}"' if number % 2 else key) for number in range(50)))

    assert len({task_id for _, _, task_id in answers}) == 1
    assert sorted(answer[:2] for answer in answers if answer[1]) == [(200, "true")] * 49
    assert [answer[:2] for answer in answers if not answer[1]] == [(202, None)]
    task = await stack.finished(answers[0][2])
    assert (task["state"], stack.ledger.effects()[task["id"]]) == ("succeeded", 1)
    assert await call(key) == (200, "true", task["id"])
    after = await stack.counters("ledger.write")
    assert after["submitted"] - before["submitted"] == after["started"] - before["started"] == 1


async def test_key_with_another_body_is_refused(stack: Stack) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    first = await stack.http.post("/v1/tasks", json={"task_type": "noop", "args": [1]}, headers=headers)
    other = await stack.http.post("/v1/tasks", json={"task_type": "noop", "args": [2]}, headers=headers)

    assert (first.status_code, other.status_code) == (202, 422)
    assert other.json()["type"] == "urn:pointsman:problem:idempotency-key-reused"
    assert (await stack.finished(first.json()["id"]))["state"] == "succeeded"
