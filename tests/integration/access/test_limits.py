"""How fast a caller may submit, over the API, with the permits in Redis."""

import asyncio
from typing import Any

import httpx
import pytest

from pointsman_contract import keys
from pointsman_service.callers import CONSOLE
from pointsman_service.embedded.ports import free_port
from pointsman_service.limits import Rate
from pointsman_service.redis import RedisServer
from tests.integration.access.keyed import Keyed
from tests.integration.spine import new_task

MINE = {"task_type": "mine"}


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


async def submit(api: httpx.AsyncClient, body: Any = MINE, path: str = "", key: str | None = None) -> httpx.Response:
    return await api.post(f"/v1/tasks{path}", json=body, headers={} if key is None else {"Idempotency-Key": key})


async def test_a_key_has_a_rate_which_each_answer_tells_and_then_it_is_exceeded(keyed: Keyed) -> None:
    made = await keyed.key("billing", preset="submitter", rate="2/100s", burst=3)
    async with keyed.caller(made.token) as api:
        first = await submit(api)
        assert first.status_code == 202, first.text
        assert first.headers["ratelimit-policy"] == '"rate";q=2;w=100;pointsman-burst=3'
        assert first.headers["ratelimit"] == '"rate";r=2;t=50'
        waited = await api.post("/v1/tasks", json=MINE, headers={"Prefer": "wait=0"})
        assert waited.headers["ratelimit"] == '"rate";r=1;t=100'
        assert (await submit(api, MINE | {"task_type": "nobody"})).status_code == 422
        assert (await submit(api, path="/validate")).status_code == 200, "neither is stored"
        assert (await submit(api)).headers["ratelimit"] == '"rate";r=0;t=150'
        refused = await submit(api)
        assert told(refused) == (429, "rate-exceeded")
        assert refused.headers["retry-after"] == "50"
        assert refused.headers["ratelimit"] == '"rate";r=0;t=150'
        assert "ratelimit" not in (await api.get("/v1/tasks")).headers
    (row,) = await keyed.spine.rows("SELECT count(*) AS tasks FROM task_live")
    assert row["tasks"] == 3


async def test_who_has_no_rate_is_told_of_none_and_redis_is_not_asked(keyed: Keyed) -> None:
    made = await keyed.key("billing", preset="submitter")
    async with keyed.caller(made.token) as api:
        answer = await submit(api)
        assert answer.status_code == 202
        assert not {"ratelimit", "ratelimit-policy"} & answer.headers.keys()
    assert keyed.parts.rates.leases == 0


async def test_a_repeat_takes_nothing_and_is_answered_when_nothing_is_left(keyed: Keyed) -> None:
    made = await keyed.key("billing", preset="submitter", rate="2/600s")
    async with keyed.caller(made.token) as api:
        first = await submit(api, key="order-17")
        for _ in range(5):
            again = await submit(api, key="order-17")
            assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
        assert (await submit(api, key="order-17", body=MINE | {"kwargs": {"a": 1}})).status_code == 422
        assert (await submit(api)).status_code == 202
        assert told(await submit(api, key="order-18")) == (429, "rate-exceeded")
        again = await submit(api, key="order-17")
        assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
        batch = {"tasks": [MINE | {"idempotency_key": "order-17"}, MINE | {"idempotency_key": "order-19"}]}
        both = (await submit(api, batch, "/batch")).json()
        assert [result["status"] for result in both["results"]] == [200, 429]


async def test_each_item_of_a_batch_counts_and_the_last_are_refused(keyed: Keyed) -> None:
    made = await keyed.key("billing", preset="submitter", rate="5/500s")
    async with keyed.caller(made.token) as api:
        items = [MINE, {"task_type": "nobody"}, *[MINE] * 5]
        answer = await submit(api, {"tasks": items}, "/batch")
        assert answer.status_code == 207
        assert [result["status"] for result in answer.json()["results"]] == [202, 422, 202, 202, 202, 202, 429]
        assert answer.headers["ratelimit"] == '"rate";r=0;t=500'
        assert answer.headers["retry-after"] == "100"
        none = await submit(api, {"tasks": [MINE, MINE]}, "/batch")
        assert told(none) == (429, "rate-exceeded")
        assert none.headers["retry-after"] == "100"
        assert [result["status"] for result in none.json()["results"]] == [429, 429]


async def test_an_atomic_batch_is_stored_whole_or_told_when_it_will_be_or_that_it_never_can(keyed: Keyed) -> None:
    made = await keyed.key("billing", preset="submitter", rate="5/500s")
    async with keyed.caller(made.token) as api:

        def atomic(tasks: int) -> Any:
            return {"tasks": [MINE] * tasks, "atomic": True}

        never = await submit(api, atomic(6), "/batch")
        assert told(never) == (422, "batch-over-burst")
        assert "retry-after" not in never.headers
        assert (await submit(api, atomic(3), "/batch")).status_code == 202
        later = await submit(api, atomic(4), "/batch")
        assert told(later) == (429, "rate-exceeded")
        assert later.headers["retry-after"] == "200", "two permits more"
        assert (await submit(api, atomic(2), "/batch")).status_code == 202, "it took nothing"
        refused = await submit(api, {"tasks": [MINE, {"task_type": "nobody"}], "atomic": True}, "/batch")
        assert told(refused) == (422, "nothing-accepted"), "the first reason is told"
    (row,) = await keyed.spine.rows("SELECT count(*) AS tasks FROM task_live")
    assert row["tasks"] == 5


async def test_a_changed_limit_holds_within_two_seconds_for_all_keys_of_the_caller(keyed: Keyed) -> None:
    root = await keyed.key("root", preset="admin")
    made = await keyed.key("billing", preset="submitter", rate="1/600s")
    rotated = await keyed.hand.rotate(CONSOLE, made.key.id, 60.0, None, None)
    assert (rotated.key.rate, rotated.key.burst) == ("1/600s", None)
    await keyed.ring.refresh()
    async with keyed.caller(made.token) as old, keyed.caller(rotated.token) as new, keyed.caller(root.token) as admin:
        assert (await submit(old)).status_code == 202
        assert told(await submit(new)) == (429, "rate-exceeded"), "it is the same caller"
        path = f"/v1/keys/{rotated.key.id}/limit"
        limited = await admin.post(path, json={"rate": "6000/600s", "burst": 7, "reason": "they asked"})
        assert (limited.json()["rate"], limited.json()["burst"]) == ("6000/600s", 7)
        assert told(await admin.post(path, json={"burst": 7})) == (422, "invalid-request")
        assert told(await admin.post(path, json={"rate": "fast"})) == (422, "invalid-request")
        loop = asyncio.get_running_loop()
        until = loop.time() + 2.0
        for one in (old, new):
            while (await submit(one)).status_code != 202:
                assert loop.time() < until
        assert (await admin.post(path, json={})).json()["rate"] is None
        assert "ratelimit" not in (await submit(new)).headers
        await admin.post(f"/v1/keys/{made.key.id}/revoke", json={"reason": "over"})
        assert told(await admin.post(f"/v1/keys/{made.key.id}/limit", json={})) == (409, "key-not-live")
        acts = (await admin.get("/v1/audit?act=limit_key")).json()["items"]
        assert [act["reason"] for act in acts] == [None, "they asked"]


async def test_a_redis_that_lost_its_memory_gives_nobody_a_new_burst(keyed: Keyed) -> None:
    made = await keyed.key("billing", preset="submitter", rate="5/600s")
    async with keyed.caller(made.token) as api:
        assert (await submit(api)).status_code == 202
        assert await keyed.spine.server.command("DEL", keys.rate("billing")) == 1
        assert [(await submit(api)).status_code for _ in range(5)] == [202] * 4 + [429]


async def test_without_redis_a_caller_goes_on_at_its_rate(keyed: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await keyed.key("billing", preset="submitter", rate="4/1s", burst=4)
    nowhere = RedisServer(f"redis://127.0.0.1:{free_port()}/0", 1.0)
    async with keyed.caller(made.token) as api:
        assert (await submit(api)).status_code == 202
        monkeypatch.setattr(keyed.parts.rates, "_server", nowhere)
        loop = asyncio.get_running_loop()
        began, admitted = loop.time(), 0
        while loop.time() < began + 2:
            answer = await submit(api)
            assert answer.status_code in (202, 429)
            admitted += answer.status_code == 202
        assert 7 <= admitted <= 4 * (loop.time() - began) + 2, "what it held, and then its rate"


async def test_a_rate_is_of_a_caller_and_not_of_a_key_in_redis(keyed: Keyed) -> None:
    made = await keyed.key("billing", preset="submitter", rate="5/600s")
    other = await keyed.key("shop", preset="submitter", rate="5/600s")
    async with keyed.caller(made.token) as api, keyed.caller(other.token) as shop:
        assert [(await submit(api)).status_code for _ in range(6)] == [202] * 5 + [429]
        assert (await submit(shop)).status_code == 202
    assert keyed.ring.caller(made.token.encode()).rate == Rate.of("5/600s")


async def test_a_quota_is_of_what_waits_of_a_caller_on_all_queues_and_what_is_later_is_not_of_it(keyed: Keyed) -> None:
    made = await keyed.key("billing", preset="submitter", quota=4)
    shop = await keyed.key("shop", preset="submitter")
    await keyed.spine.commits.write_batch(
        [
            new_task(queue="email", priority=2, caller="billing"),
            new_task(queue="reports", caller="billing"),
            new_task(queue="email", caller="billing", delay_seconds=60.0),
            new_task(queue="email", caller="another"),
        ]
    )
    await keyed.spine.commits.drain()
    await keyed.spine.run("UPDATE task_live SET place = 'sent' WHERE queue = 'reports'")
    async with keyed.caller(made.token) as api, keyed.caller(shop.token) as other:
        assert (await submit(api, key="order-17")).status_code == 202
        batch = await submit(api, {"tasks": [MINE] * 3}, "/batch")
        assert [result["status"] for result in batch.json()["results"]] == [202, 429, 429]
        full = await submit(api)
        assert told(full) == (429, "quota-full")
        assert full.headers["retry-after"] == "5"
        assert told(await submit(api, path="/validate")) == (429, "quota-full")
        assert told(await submit(api, {"tasks": [MINE, MINE], "atomic": True}, "/batch")) == (429, "quota-full")
        assert (await submit(api, key="order-17")).status_code == 200
        assert (await submit(api, MINE | {"delay_seconds": 60})).status_code == 202
        assert (await submit(other)).status_code == 202
        await keyed.parts.quotas.single_pass()
        assert told(await submit(api)) == (429, "quota-full"), "counted, and not only taken"
        await keyed.spine.run("UPDATE task_live SET state = 'running' WHERE queue = 'reports'")
        await keyed.parts.quotas.single_pass()
        assert [(await submit(api)).status_code for _ in range(2)] == [202, 429]
