"""What happens, as it happens: answers that wait, and streams of events."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from pointsman_contract.states import TERMINAL
from pointsman_service.embedded.ports import HOST, free_port
from tests.stand.event_stream import Seen, listening
from tests.stand.processes import Child
from tests.stand.stack import Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

LONG = {"Prefer": "wait=20"}
Alone = tuple[Child, httpx.AsyncClient]


@pytest.fixture
async def alone(stack: Stack) -> AsyncIterator[Alone]:
    """An API process of the same installation that reaches no Redis."""
    port = free_port()
    away = {"POINTSMAN_REDIS_URL": f"redis://{HOST}:{free_port()}/0"}
    child = stack.site.child("alone", stack.site.service("api", port=port), Child, environment=away)
    child.start()
    async with stack.client(f"http://{HOST}:{port}") as client:

        async def answers() -> bool:
            try:
                return (await client.get("/livez")).status_code == 200
            except httpx.TransportError:
                return False

        try:
            await until(answers, "the process to answer")
            yield child, client
        finally:
            child.kill()


async def test_a_submission_that_waits_is_answered_with_its_ended_task(stack: Stack) -> None:
    body = {"task_type": "ledger.add", "args": [1, 2]}
    answer = await stack.http.post("/v1/tasks", json=body, headers=LONG | {"Idempotency-Key": "add-once"})
    again = await stack.http.post("/v1/tasks", json=body, headers=LONG | {"Idempotency-Key": "add-once"})
    assert (answer.status_code, answer.json()["state"], answer.json()["result"]) == (200, "succeeded", 3)
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.headers["location"] == f"/v1/tasks/{answer.json()['id']}"
    assert (again.status_code, again.json()) == (200, answer.json())
    assert again.headers["idempotency-replayed"] == "true"


async def test_who_waits_for_a_task_is_answered_when_it_ends_and_not_before(stack: Stack, tmp_path: Path) -> None:
    release = tmp_path / "release"
    task_id = await stack.submit("ledger.hold", args=[str(release)])
    await stack.wait_for_state(task_id, "running")
    early = await stack.http.get(f"/v1/tasks/{task_id}", headers={"Prefer": "wait=1"})
    assert (early.json()["state"], early.headers["preference-applied"]) == ("running", "wait=1")
    assert early.elapsed.total_seconds() >= 1
    waiting = [asyncio.create_task(stack.http.get(f"/v1/tasks/{task_id}", headers=LONG)) for _ in range(20)]
    released = time.monotonic()
    release.touch()
    answers = await asyncio.gather(*waiting)
    # As soon as it is recorded: half a second is more than any look takes, and 20 seconds is what they would wait.
    assert {answer.json()["state"] for answer in answers} == {"succeeded"}
    assert time.monotonic() - released < 10
    late = await stack.http.get(f"/v1/tasks/{task_id}", headers={"Prefer": "wait=99999"})
    assert (late.json()["state"], late.headers["preference-applied"]) == ("succeeded", "wait=30")
    assert late.elapsed.total_seconds() < 5
    assert "preference-applied" not in (await stack.http.get(f"/v1/tasks/{task_id}")).headers


async def test_a_stream_of_a_task_shows_its_states_and_its_progress_and_ends_with_it(
    stack: Stack, all_busy: Callable[[], None], tmp_path: Path
) -> None:
    release = tmp_path / "release the steps"
    task_id = await stack.submit("ledger.steps", args=[str(release)])
    path = f"/v1/tasks/{task_id}/events"
    async with listening(stack.http, path) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        seen = [await stream.next()]
        all_busy()
        while seen[-1].data["progress"] is None:
            seen.append(await stream.next())
        release.touch()
        seen += [one async for one in stream]
    assert {one.name for one in seen} == {"task"}
    states = [one.data["state"] for one in seen]
    assert states == sorted(states, key=["queued", "running", "succeeded"].index)
    assert set(states) == {"queued", "running", "succeeded"}
    assert {"state": "PROGRESS", "current": 1, "total": 3, "note": "one of three"} in [
        one.data["progress"] for one in seen if one.data["state"] == "running"
    ]
    task = await stack.task(task_id)
    same = ("id", "task_type", "queue", "state", "attempt", "worker", "started_at", "finished_at", "run_seconds")
    assert {name: seen[-1].data[name] for name in same} == {name: task[name] for name in same}
    over = await stack.http.get(path, headers={"Last-Event-ID": seen[-1].id})
    assert over.status_code == 204
    async with listening(stack.http, path, last_event_id=seen[0].id) as stream:
        assert [one async for one in stream] == [seen[-1]]


async def test_a_stream_of_a_filter_names_what_meets_it_and_goes_on_where_it_was_left(stack: Stack) -> None:
    path, tag = "/v1/tasks/events", "listener:a:b"
    async with listening(stack.http, path, tag=[tag], task_type="ledger.write") as stream:
        begin = await stream.next()
        await stack.submit("ledger.write", tags={"listener": "another"})
        mine = await stack.submit("ledger.write", tags={"listener:a": "b"})
        told = await _told_until_ended(stream, {mine})
    assert begin.name == "begin"
    assert {change["id"] for one in told for change in one.data["changes"]} == {mine}
    assert {one.data["left_out"] for one in told} == {0}
    missed = await stack.submit("ledger.write", tags={"listener:a": "b"})
    await stack.finished(missed)
    async with listening(stack.http, path, last_event_id=told[-1].id, tag=[tag], task_id=[mine, missed]) as stream:
        again = await stream.next()
    assert again.name == "tasks"
    assert {change["id"]: change["state"] for change in again.data["changes"]} == {missed: "succeeded"}
    stale = told[-1].id.split(".")
    stale[0] = str(int(stale[0]) - 600 * 1_000_000)
    async with listening(stack.http, path, last_event_id=".".join(stale), tag=[tag]) as stream:
        assert (await stream.next("reset")).data["as_of"]


async def _told_until_ended(stream: Any, ids: set[str]) -> list[Seen]:
    told, ended = [], set[str]()
    while not ids <= ended:
        told.append(await stream.next("tasks"))
        ended |= {one["id"] for one in told[-1].data["changes"] if one["state"] in TERMINAL}
    return told


@pytest.mark.parametrize(
    ("parameters", "headers", "pointer"),
    [
        ({"queue": "nowhere"}, {}, "/query/queue"),
        ({"task_type": "nothing"}, {}, "/query/task_type"),
        ({"state": "lost"}, {}, "/query/state"),
        ({"tag": "none"}, {}, "/query/tag"),
        ({"task_id": "none"}, {}, "/query/task_id/0"),
        ({"submitted_after": "2026-01-01T00:00:00Z"}, {}, "/query/submitted_after"),
        ({}, {"Last-Event-ID": "41"}, "/header/last-event-id"),
        ({}, {"Last-Event-ID": "1.9.5"}, "/header/last-event-id"),
    ],
)
async def test_a_stream_of_what_does_not_exist_is_refused(
    stack: Stack, parameters: dict[str, str], headers: dict[str, str], pointer: str
) -> None:
    answer = await stack.http.get("/v1/tasks/events", params=parameters, headers=headers)
    assert answer.status_code == 422
    assert [fault["pointer"].lower() for fault in answer.json()["errors"]] == [pointer]


async def test_the_stream_of_an_unknown_task_is_404_and_a_head_of_a_stream_ends(stack: Stack) -> None:
    unknown = await stack.http.get("/v1/tasks/01a20271-c811-71a5-99c0-510fde22a57d/events")
    assert unknown.status_code == 404
    head = await stack.http.head("/v1/tasks/events")
    assert (head.status_code, head.content) == (200, b"")


async def test_without_redis_all_is_told_and_at_a_stop_everybody_is_let_go(alone: Alone) -> None:
    child, client = alone
    body = {"task_type": "ledger.write", "tags": {"listener": "alone"}, "delay_seconds": 3600}
    async with listening(client, "/v1/tasks/events", tag="listener:alone") as stream:
        await stream.next("begin")
        task_id = (await client.post("/v1/tasks", json=body)).json()["id"]
        assert [one["id"] for one in (await stream.next("tasks")).data["changes"]] == [task_id]
        waiting = asyncio.create_task(client.get(f"/v1/tasks/{task_id}", headers=LONG))
        async with listening(client, f"/v1/tasks/{task_id}/events") as one_task:
            await one_task.next("task")
            cancelled = await client.post(f"/v1/tasks/{task_id}/cancel")
            assert cancelled.json()["state"] == "cancelled", cancelled.text
            assert [one.data["state"] async for one in one_task] == ["cancelled"]
        assert (await waiting).json()["state"] == "cancelled"
        assert (await stream.next("tasks")).data["changes"][0]["state"] == "cancelled"
        later = (await client.post("/v1/tasks", json=body)).json()["id"]
        held = asyncio.create_task(client.get(f"/v1/tasks/{later}", headers=LONG))
        submitted = asyncio.create_task(client.post("/v1/tasks", json=body, headers=LONG))
        told: set[str] = set()
        while len(told) < 2:
            told |= {one["id"] for one in (await stream.next("tasks")).data["changes"]}
        async with listening(client, f"/v1/tasks/{later}/events") as one_task:
            await one_task.next("task")
            began = time.monotonic()
            assert await child.stop() == 0
            assert [one async for one in one_task] == []
        assert [one.name async for one in stream if one.name != "tasks"] == []
    assert time.monotonic() - began < 10
    assert (await held).json()["state"] == "scheduled"
    answer = await submitted
    assert (answer.status_code, answer.json()["state"]) == (202, "scheduled")
