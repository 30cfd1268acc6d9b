import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from pointsman_contract import keys
from pointsman_contract.states import TaskState
from pointsman_service.claims import closing
from pointsman_service.reconcile import cancelled
from pointsman_service.reconcile.cancelled import CancelledSweep
from pointsman_service.reconcile.due import DueSweep
from pointsman_service.store.tasks import purging
from tests.integration.operate.ended import PROBLEM
from tests.integration.operate.test_cancel import ERROR, MAINTENANCE, submitted, taken
from tests.integration.spine import Spine
from tests.stand.waiting import until


async def waits_for_a_lock(spine: Spine) -> bool:
    """Whether somebody waits for a row that another has."""
    return bool(
        await spine.rows(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    )


async def purge(spine: Spine, api: httpx.AsyncClient, **body: Any) -> httpx.Response:
    async with spine.recording():
        return await api.post("/v1/queues/maintenance/purge", json=body)


async def test_what_waits_and_what_was_sent_ends_as_cancelled(spine: Spine, api: httpx.AsyncClient) -> None:
    await submitted(spine)
    await spine.run("UPDATE task_live SET place = 'waiting', dispatch = 0")
    sent = await submitted(spine)
    await submitted(spine, queue="reports", priority=6)
    await submitted(spine, delay_seconds=3600.0)
    counted = await purge(spine, api, dry_run=True)
    before = counted.json()["submitted_before"]
    told = {
        "tasks": 2, "tasks_is_most": False, "submitted_before": before, "pending": 0, "pending_is_least": False,
        "dry_run": True,
    }  # fmt: skip
    assert (counted.status_code, counted.json()) == (200, told)
    done = await purge(spine, api, expected=2, submitted_before=before)
    assert (done.status_code, done.json()) == (200, told | {"dry_run": False})
    assert await spine.rows("SELECT DISTINCT state, attempt FROM task") == [{"state": "cancelled", "attempt": 0}]
    assert len(await spine.rows("SELECT id FROM task_live")) == 2
    while (message := await spine.message(MAINTENANCE)) is not None:
        verdict = await spine.gate(message)
        assert verdict == [b"cancelled"] or message["headers"]["id"] != str(sent)


async def test_a_long_queue_is_purged_in_parts_and_all_or_nothing(
    spine: Spine, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "_TASKS_A_STATEMENT", 2)
    for _ in range(5):
        await submitted(spine)
    refused = await purge(spine, api, expected=4)
    assert (refused.status_code, refused.json()["detail"][:7]) == (409, "5 tasks")
    assert await spine.rows("SELECT DISTINCT cancel_requested_at FROM task_live") == [{"cancel_requested_at": None}]
    assert (await purge(spine, api, expected=5)).json()["tasks"] == 5
    assert await spine.rows("SELECT id FROM task_live") == []


async def test_another_count_than_expected_is_refused_and_nothing_is_done(spine: Spine, api: httpx.AsyncClient) -> None:
    await submitted(spine)
    for expected in (0, 2):
        answer = await purge(spine, api, expected=expected)
        assert (answer.status_code, answer.json()["type"]) == (409, PROBLEM + "count-differs")
        assert answer.json()["detail"].startswith("1 task would")
    assert await spine.rows("SELECT cancel_requested_at FROM task_live") == [{"cancel_requested_at": None}]


async def test_what_arrives_after_a_dry_run_neither_hinders_a_purge_nor_is_hit(
    spine: Spine, api: httpx.AsyncClient
) -> None:
    old = [await submitted(spine) for _ in range(3)]
    counted = (await purge(spine, api, dry_run=True)).json()
    new = await submitted(spine)
    # One that was counted has started meanwhile: fewer than at most are no fault.
    await spine.gate(await taken(spine))
    await spine.record_all()
    done = await purge(spine, api, at_most=counted["tasks"], submitted_before=counted["submitted_before"])
    assert (done.status_code, done.json()["tasks"]) == (200, 2)
    left = await spine.rows("SELECT id, state FROM task_live ORDER BY id")
    assert [(row["id"], row["state"]) for row in left] == [(old[0], "running"), (new, "queued")]


async def test_what_arrives_while_a_purge_waits_for_a_row_is_not_hit(spine: Spine, api: httpx.AsyncClient) -> None:
    old = await submitted(spine)
    async with asyncio.TaskGroup() as group, spine.store.transaction() as holder:
        await holder.execute(text("SELECT FROM task_live WHERE id = CAST(:id AS uuid) FOR UPDATE"), {"id": old})
        purging = group.create_task(purge(spine, api, at_most=9))
        await until(lambda: waits_for_a_lock(spine), "the purge to wait")
        new = await submitted(spine)
    assert purging.result().json()["tasks"] == 1
    assert [row["id"] for row in await spine.rows("SELECT id FROM task_live")] == [new]


async def test_more_than_at_most_are_refused_and_nothing_is_done(spine: Spine, api: httpx.AsyncClient) -> None:
    for _ in range(2):
        await submitted(spine)
    refused = await purge(spine, api, at_most=1)
    assert (refused.status_code, refused.json()["type"]) == (409, PROBLEM + "count-differs")
    assert refused.json()["detail"].startswith("2 tasks would be purged, more than 1")
    assert await spine.rows("SELECT DISTINCT cancel_requested_at FROM task_live") == [{"cancel_requested_at": None}]


async def test_what_came_since_and_what_ends_anyhow_is_not_counted(
    spine: Spine, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [await submitted(spine) for _ in range(4)]
    before = (await purge(spine, api, dry_run=True)).json()["submitted_before"]
    await submitted(spine)
    await submitted(spine, queue="reports", priority=6)
    await spine.run("UPDATE task_live SET cancel_requested_at = now() WHERE id = CAST(:id AS uuid)", id=old[0])
    counted = (await purge(spine, api, dry_run=True, submitted_before=before)).json()
    assert (counted["tasks"], counted["tasks_is_most"]) == (3, False)
    # Of more than are looked at it is known that there are no more than so many.
    monkeypatch.setattr(purging, "MOST_LOOKED_AT", 2)
    counted = (await purge(spine, api, dry_run=True, submitted_before=before)).json()
    assert counted["tasks_is_most"]
    assert 3 <= counted["tasks"] <= 5
    refused = await purge(spine, api, at_most=1, submitted_before=before)
    assert refused.json()["detail"].startswith("up to ")


async def test_a_short_queue_is_purged_by_itself_and_a_long_one_no_further_than_it_may_be(
    spine: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await submitted(spine) for _ in range(4)]
    other = await submitted(spine, queue="reports", priority=6)
    later = datetime.now(UTC) + timedelta(hours=1)
    due = [TaskState.QUEUED]
    for is_few in (False, True):
        async with spine.store.transaction() as connection:
            assert await purging.purge(connection, "maintenance", due, later, 1, is_few=is_few) == 2, "one too many"
            await connection.rollback()
    async with spine.store.transaction() as connection:
        assert await purging.purge(connection, "maintenance", due, later, 4, is_few=True) == 4
    asked = await spine.rows("SELECT id FROM task_live WHERE cancel_requested_at IS NOT NULL ORDER BY id")
    assert [row["id"] for row in asked] == ids
    assert other not in ids
    monkeypatch.setattr(purging, "MOST_LOOKED_AT", 3)
    async with spine.store.statement() as connection:
        assert await purging.pending(connection, "maintenance") == 3


async def test_other_states_are_purged_when_they_are_named(spine: Spine, api: httpx.AsyncClient) -> None:
    await submitted(spine, delay_seconds=3600.0)
    await submitted(spine)
    answer = await purge(spine, api, expected=2, states=["queued", "scheduled"])
    assert answer.json()["tasks"] == 2
    assert await spine.rows("SELECT id FROM task_live") == []


async def test_a_task_that_was_started_but_not_recorded_is_not_hit(spine: Spine, api: httpx.AsyncClient) -> None:
    await submitted(spine)
    message = await taken(spine)
    # The recorder is behind: the row says queued, the claim says that it runs.
    verdict = await spine.gate(message)
    answer = await api.post("/v1/queues/maintenance/purge", json={"expected": 1})
    assert (answer.status_code, answer.json()["pending"]) == (202, 1)
    await spine.record_all()
    assert await spine.rows("SELECT state, cancel_requested_at FROM task_live") == [
        {"state": "running", "cancel_requested_at": None}
    ]
    await spine.report(message, verdict, "failed", error=ERROR, retry_in_seconds=0.0)
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task_live") == [{"state": "retrying"}]


async def test_nothing_starts_after_a_purge_though_the_recorder_is_behind(
    spine: Spine, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancelled, "_TASKS_A_PASS", 2)
    monkeypatch.setattr(closing, "_TAIL_SECONDS", 0.05)
    for _ in range(5):
        await submitted(spine)
    await spine.append("progress", str(uuid4()), attempt=1)
    answer = await api.post("/v1/queues/maintenance/purge", json={"expected": 5})
    assert (answer.status_code, answer.json()["pending"]) == (202, 5)
    while (message := await spine.message(MAINTENANCE)) is not None:
        assert await spine.gate(message) == [b"cancelled"]
    async with spine.recording():
        sweep = CancelledSweep(spine.store, spine.server, spine.settings)
        while await sweep.single_pass():
            pass
    assert await spine.counters() == {"submitted": 5, "cancelled": 5}


async def test_a_task_that_had_started_long_before_a_purge_goes_on_at_once(
    spine: Spine, api: httpx.AsyncClient
) -> None:
    await submitted(spine)
    message = await taken(spine)
    await spine.report(message, await spine.gate(message), "failed", error=ERROR, retry_in_seconds=0.0)
    # The recorder is ten minutes behind: Redis has forgotten that it ran.
    await spine.server.command("DEL", keys.claim(message["headers"]["id"]))
    assert (await api.post("/v1/queues/maintenance/purge", json={"expected": 1})).status_code == 202
    await spine.record_all()
    await DueSweep(spine.store, spine.settings).single_pass()
    await spine.dispatcher.single_pass()
    assert (await spine.gate(await taken(spine)))[:2] == [b"run", 2]


async def test_one_that_failed_for_good_before_its_start_was_recorded_has_failed(
    spine: Spine, api: httpx.AsyncClient
) -> None:
    await submitted(spine)
    message = await taken(spine)
    verdict = await spine.gate(message)
    await spine.report(message, verdict, "failed", error=ERROR, permanent=True)
    assert (await api.post("/v1/queues/maintenance/purge", json={"expected": 1})).status_code == 202
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "failed"}]


@pytest.mark.parametrize("seed", range(3))
async def test_race_of_a_purge_against_consuming(spine: Spine, api: httpx.AsyncClient, seed: int) -> None:
    chance = random.Random(seed)
    tasks = 30
    for _ in range(tasks):
        await submitted(spine)
    ran = set()

    async def consume() -> None:
        while (message := await spine.message(MAINTENANCE)) is not None:
            await asyncio.sleep(chance.random() / 300)
            verdict = await spine.gate(message)
            if verdict[0] == b"run":
                ran.add(message["headers"]["id"])
                await asyncio.sleep(chance.random() / 300)
                await spine.report(message, verdict)

    async def purge_all() -> int:
        await asyncio.sleep(chance.random() / 20)
        while True:
            expected = (await api.post("/v1/queues/maintenance/purge", json={"dry_run": True})).json()["tasks"]
            answer = await api.post("/v1/queues/maintenance/purge", json={"expected": expected})
            assert answer.status_code in (200, 202, 409), answer.text
            if answer.status_code != 409:
                return int(answer.json()["tasks"])

    async with spine.recording():
        *_, purged = await asyncio.gather(consume(), consume(), purge_all())
        async with asyncio.timeout(30):
            while await spine.rows("SELECT id FROM task_live LIMIT 1"):
                await CancelledSweep(spine.store, spine.server, spine.settings).single_pass()
                await asyncio.sleep(0.01)
    ended = {str(row["id"]): row["state"] for row in await spine.rows("SELECT id, state FROM task")}
    assert len(ended) == tasks
    assert {task for task, state in ended.items() if state == "succeeded"} == ran, f"seed {seed}"
    counted = await spine.counters()
    assert counted.get("cancelled", 0) == tasks - len(ran) <= purged, f"seed {seed}"
    assert counted.get("started", 0) == len(ran)


@pytest.mark.parametrize(
    "body", [{}, {"expected": -1}, {"at_most": -1}, {"expected": 1, "states": []}, {"states": ["running"]}]
)
async def test_a_purge_that_is_not_understood_is_refused(api: httpx.AsyncClient, body: Any) -> None:
    answer = await api.post("/v1/queues/maintenance/purge", json=body)
    assert answer.status_code == 422
