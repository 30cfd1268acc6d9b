import asyncio
import random
from typing import Any

import httpx
import pytest

from pointsman_contract import keys
from pointsman_contract.queues import list_key
from pointsman_service.reconcile.outbox import OutboxSweep
from tests.integration.operate.ended import PROBLEM
from tests.integration.operate.test_cancel import MAINTENANCE, submitted, taken
from tests.integration.spine import Spine

REPORTS = list_key("reports", 4)


async def pause(api: httpx.AsyncClient, queue: str = "maintenance") -> dict[str, Any]:
    answer = await api.post(f"/v1/queues/{queue}/pause", json={"reason": "the relay is down"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def resume(api: httpx.AsyncClient, queue: str = "maintenance") -> dict[str, Any]:
    answer = await api.post(f"/v1/queues/{queue}/resume")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_what_is_submitted_to_a_paused_queue_waits_and_goes_on_when_it_is_resumed(
    spine: Spine, api: httpx.AsyncClient
) -> None:
    await pause(api)
    await spine.window.refresh()
    await submitted(spine)
    await submitted(spine, queue="reports", priority=6)
    await spine.dispatcher.single_pass()
    rows = await spine.rows("SELECT queue, state, place FROM task_live ORDER BY queue")
    assert rows == [
        {"queue": "maintenance", "state": "queued", "place": "waiting"},
        {"queue": "reports", "state": "queued", "place": "sent"},
    ]
    assert await spine.message(MAINTENANCE) is None
    await resume(api)
    await spine.dispatcher.single_pass()
    message = await taken(spine)
    assert (await spine.gate(message))[0] == b"run"


@pytest.mark.parametrize("body", [b" ", b"\x0c", b"\n"])
async def test_a_body_that_is_blank_is_no_json_and_none_at_all_is_every_default(
    spine: Spine, api: httpx.AsyncClient, body: bytes
) -> None:
    await pause(api)
    headers = {"Content-Type": "application/json"}
    refused = await api.post("/v1/queues/maintenance/resume", content=body, headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (400, "urn:pointsman:problem:malformed-json")
    assert (await resume(api))["paused"] is False


async def test_what_is_on_the_broker_is_put_back_by_the_gate(spine: Spine, api: httpx.AsyncClient) -> None:
    await submitted(spine)
    message = await taken(spine)
    told = await pause(api)
    assert (told["told"], told["waiting"], told["sent"], told["running"]) == (True, 0, 1, 0)
    assert await spine.gate(message) == [b"paused"]
    await spine.record_all()
    assert await spine.rows("SELECT state, place, attempt FROM task_live") == [
        {"state": "queued", "place": "waiting", "attempt": 0}
    ]
    await spine.dispatcher.single_pass()
    assert await spine.message(MAINTENANCE) is None
    await resume(api)
    await spine.dispatcher.single_pass()
    again = await taken(spine)
    assert again["headers"]["pointsman"]["dispatch"] == 2
    assert (await spine.gate(again))[0] == b"run"
    assert await spine.counters() == {"submitted": 1}


async def test_what_runs_goes_on(spine: Spine, api: httpx.AsyncClient) -> None:
    await submitted(spine)
    message = await taken(spine)
    verdict = await spine.gate(message)
    await spine.record_all()
    assert (await pause(api))["running"] == 1
    await spine.report(message, verdict)
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "succeeded"}]


async def test_who_paused_and_why_is_shown(api: httpx.AsyncClient) -> None:
    await pause(api, "email")
    found = (await api.get("/v1/queues/email")).json()
    assert (found["paused"], found["paused_by"], found["pause_reason"]) == (True, "local", "the relay is down")
    assert found["paused_at"]
    others = [queue for queue in (await api.get("/v1/queues")).json()["items"] if queue["name"] != "email"]
    assert not any(queue["paused"] for queue in others)
    await resume(api, "email")
    found = (await api.get("/v1/queues/email")).json()
    assert (found["paused"], found["paused_at"], found["pause_reason"]) == (False, None, None)


async def test_a_pause_outlives_redis_and_all_its_data(spine: Spine, api: httpx.AsyncClient) -> None:
    await pause(api)
    await submitted(spine)
    await spine.server.command("FLUSHALL")
    await spine.open_epoch()
    assert await spine.server.command("HGET", keys.CONTROL, "pause:maintenance") == b"1:1"
    await spine.dispatcher.single_pass()
    assert await spine.message(MAINTENANCE) is None


async def test_the_dispatcher_tells_redis_what_a_pause_could_not(spine: Spine, api: httpx.AsyncClient) -> None:
    await pause(api)
    await spine.server.command("HDEL", keys.CONTROL, "pause:maintenance")
    await spine.dispatcher.single_pass()
    assert (await spine.broker.depths()).queues["maintenance"].paused


async def test_old_news_of_a_pause_changes_nothing(spine: Spine, api: httpx.AsyncClient) -> None:
    await pause(api)
    await resume(api)
    await spine.broker.publish_pauses(["maintenance", 1, 1])
    assert not (await spine.broker.depths()).queues["maintenance"].paused


@pytest.mark.parametrize("seed", range(3))
async def test_race_of_pauses_against_publishing_and_consuming(spine: Spine, api: httpx.AsyncClient, seed: int) -> None:
    chance = random.Random(seed)
    tasks = 24
    started_while_paused = []
    is_paused = False

    async def submit() -> None:
        for _ in range(tasks):
            await submitted(spine)
            await asyncio.sleep(chance.random() / 200)

    async def consume(until: asyncio.Event) -> None:
        while not until.is_set():
            await spine.window.refresh()
            await spine.dispatcher.single_pass()
            message = await spine.message(MAINTENANCE)
            if message is None:
                await asyncio.sleep(0.002)
                continue
            paused_before = is_paused
            verdict = await spine.gate(message)
            if verdict[0] == b"run":
                if paused_before and is_paused:
                    started_while_paused.append(message["headers"]["id"])
                await spine.report(message, verdict)

    async def toggle() -> None:
        nonlocal is_paused
        for _ in range(4):
            await pause(api)
            is_paused = True
            await asyncio.sleep(chance.random() / 50)
            is_paused = False
            await resume(api)
            await asyncio.sleep(chance.random() / 50)

    async def drained() -> None:
        while await spine.rows("SELECT id FROM task_live LIMIT 1"):
            await OutboxSweep(spine.store, spine.settings).single_pass()
            await asyncio.sleep(0.02)

    end = asyncio.Event()
    async with spine.recording():
        consumers = [asyncio.create_task(consume(end)) for _ in range(2)]
        await asyncio.gather(submit(), toggle())
        async with asyncio.timeout(60):
            await drained()
        end.set()
        await asyncio.gather(*consumers)
    assert started_while_paused == [], f"seed {seed}"
    counted = await spine.counters()
    assert (counted["submitted"], counted["succeeded"], counted["started"]) == (tasks, tasks, tasks), f"seed {seed}"


@pytest.mark.parametrize("action", ["pause", "resume", "purge"])
async def test_a_queue_that_is_not_there_is_not_found(api: httpx.AsyncClient, action: str) -> None:
    body = {"reason": "why"} if action != "purge" else {"expected": 0}
    answer = await api.post(f"/v1/queues/nowhere/{action}", json=body)
    assert (answer.status_code, answer.json()["type"]) == (404, PROBLEM + "no-such-queue")
    assert "critical" in answer.json()["detail"]


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 501}, {"reason": "a\x00"}, {"why": "x"}])
async def test_a_pause_without_a_reason_is_refused(spine: Spine, api: httpx.AsyncClient, body: Any) -> None:
    answer = await api.post("/v1/queues/email/pause", json=body)
    assert answer.status_code == 422
    assert await spine.rows("SELECT queue FROM queue_pause") == []
