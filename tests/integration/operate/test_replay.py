import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from pointsman_service.reconcile.due import DueSweep
from tests.integration.operate.ended import PROBLEM, ended
from tests.integration.spine import Spine


async def groups(api: httpx.AsyncClient, **parameters: Any) -> list[tuple[str, str | None, int]]:
    answer = await api.get("/v1/dead-letters", params=parameters)
    assert answer.status_code == 200, answer.text
    return [(group["task_type"], group["error_type"], group["count"]) for group in answer.json()["items"]]


async def replay(api: httpx.AsyncClient, key: str | None = None, **body: Any) -> dict[str, Any]:
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = await api.post("/v1/dead-letters/replay", json=body, headers=headers)
    assert answer.status_code in (200, 202), answer.text
    found: dict[str, Any] = answer.json()
    return found | {"status": answer.status_code}


async def test_dead_letters_are_grouped_by_type_and_error(spine: Spine, api: httpx.AsyncClient) -> None:
    now = datetime.now(UTC)
    early, late = now - timedelta(minutes=4), now - timedelta(minutes=2)
    last = await ended(spine, finished_at=late)
    await ended(spine, finished_at=early, queue="reports")
    await ended(spine, error_type="OSError")
    await ended(spine, task_type="other", error_type=None)
    for state in ("succeeded", "cancelled", "expired"):
        await ended(spine, state)
    answer = (await api.get("/v1/dead-letters")).json()
    group = answer["items"][0]
    assert {name: group[name] for name in ("task_type", "error_type", "count", "queues", "example_task_id")} == {
        "task_type": "noop",
        "error_type": "ValueError",
        "count": 2,
        "queues": ["maintenance", "reports"],
        "example_task_id": last,
    }
    assert datetime.fromisoformat(group["first_failed_at"]) == early
    assert datetime.fromisoformat(group["last_failed_at"]) == late
    assert group["example_message"] == "no"
    assert await groups(api) == [("noop", "ValueError", 2), ("noop", "OSError", 1), ("other", None, 1)]
    assert await groups(api, queue="reports") == [("noop", "ValueError", 1)]
    assert await groups(api, error_type="OSError") == [("noop", "OSError", 1)]
    assert await groups(api, failed_after=(now - timedelta(minutes=3)).isoformat(), task_type="noop") == [
        ("noop", "OSError", 1),
        ("noop", "ValueError", 1),
    ]
    assert await groups(api, failed_before=(now - timedelta(minutes=3)).isoformat()) == [("noop", "ValueError", 1)]


async def test_the_tasks_of_a_group_are_listed(spine: Spine, api: httpx.AsyncClient) -> None:
    one, other = await ended(spine), await ended(spine)
    await ended(spine, error_type="OSError")
    await api.post(f"/v1/tasks/{one}/retry")
    wanted = {"state": "failed", "task_type": "noop", "error_type": "ValueError"}
    listed = (await api.get("/v1/tasks", params=wanted)).json()["items"]
    assert [task["id"] for task in listed] == [other, one]
    for replayed, expected in (("false", [other]), ("true", [one])):
        listed = (await api.get("/v1/tasks", params=wanted | {"replayed": replayed})).json()["items"]
        assert [task["id"] for task in listed] == expected
    unfinished = (await api.get("/v1/tasks", params={"state": "queued", "error_type": "ValueError"})).json()
    assert unfinished["items"] == []


async def test_a_dry_run_counts_and_changes_nothing(spine: Spine, api: httpx.AsyncClient) -> None:
    for _ in range(3):
        await ended(spine)
    result = await replay(api, task_type="noop", limit=2, dry_run=True)
    assert result == {"status": 200, "replay_id": None, "matched": 3, "tasks": 2, "last_due_at": None, "dry_run": True}
    assert await spine.rows("SELECT id FROM replay") == await spine.rows("SELECT id FROM task_live") == []


async def test_the_oldest_run_again_and_leave_the_dead_letters(spine: Spine, api: httpx.AsyncClient) -> None:
    old = [await ended(spine) for _ in range(3)]
    await ended(spine, error_type="OSError")
    first = await replay(api, error_type="ValueError", limit=2)
    assert (first["status"], first["matched"], first["tasks"]) == (202, 3, 2)
    rows = await spine.rows("SELECT replayed_from, state, place, attempt FROM task_live ORDER BY id")
    assert [str(row["replayed_from"]) for row in rows] == old[:2]
    assert {(row["state"], row["place"], row["attempt"]) for row in rows} == {("queued", "waiting", 0)}
    assert await groups(api) == [("noop", "OSError", 1), ("noop", "ValueError", 1)]
    second = await replay(api, error_type="ValueError")
    assert (second["matched"], second["tasks"]) == (1, 1)
    assert (await replay(api, error_type="ValueError"))["tasks"] == 0
    assert (await spine.counters())["submitted"] == 3


async def test_a_rate_spreads_them_by_their_due_times(spine: Spine, api: httpx.AsyncClient) -> None:
    for _ in range(4):
        await ended(spine)
    result = await replay(api, queue="maintenance", rate_per_second=0.5)
    rows = await spine.rows(
        "SELECT state, due_at - submitted_at AS wait, scheduled_at = due_at AS later FROM task_live"
    )
    rows.sort(key=lambda row: row["wait"])
    assert [row["wait"].total_seconds() for row in rows] == [0, 2, 4, 6]
    assert [row["state"] for row in rows] == ["queued", "scheduled", "scheduled", "scheduled"]
    assert [row["later"] for row in rows] == [None, True, True, True]
    assert result["last_due_at"] is not None
    # Nobody has to stay alive for it: the sweep that wakes what is due does the rest.
    await spine.run("UPDATE task_live SET due_at = now() WHERE state = 'scheduled'")
    await DueSweep(spine.store, spine.settings).single_pass()
    assert await spine.rows("SELECT count(*) AS due FROM task_live WHERE place = 'waiting'") == [{"due": 4}]


async def test_a_call_that_is_repeated_with_its_key_runs_nothing_again(spine: Spine, api: httpx.AsyncClient) -> None:
    await ended(spine)
    first = await replay(api, "k", task_type="noop")
    await ended(spine)
    second = await replay(api, "k", task_type="noop")
    assert (second["status"], second["replay_id"], second["tasks"]) == (200, first["replay_id"], 1)
    other = await api.post("/v1/dead-letters/replay", json={"queue": "reports"}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["type"]) == (422, PROBLEM + "idempotency-key-reused")


async def test_race_of_replays_and_retries_runs_each_dead_letter_once(spine: Spine, api: httpx.AsyncClient) -> None:
    old = [await ended(spine) for _ in range(40)]
    calls = [api.post("/v1/dead-letters/replay", json={"task_type": "noop", "limit": 30}) for _ in range(4)]
    retries = [api.post(f"/v1/tasks/{task}/retry") for task in old[::4]]
    answers = await asyncio.gather(*calls, *retries)
    assert {answer.status_code for answer in answers[4:]} <= {202, 409}
    assert [answer.status_code for answer in answers[:4]] == [202] * 4
    rows = await spine.rows("SELECT replayed_from, count(*) AS tasks FROM task_live GROUP BY 1")
    assert {row["tasks"] for row in rows} == {1}
    made = sum(answer.json()["tasks"] for answer in answers[:4])
    made += Counter(answer.status_code for answer in answers[4:])[202]
    assert made == len(rows) == (await spine.counters())["submitted"]
    assert len(rows) >= 30


async def test_a_replay_tells_how_far_it_is_and_is_undone(spine: Spine, api: httpx.AsyncClient) -> None:
    old = [await ended(spine) for _ in range(3)]
    result = await replay(api, task_type="noop", rate_per_second=1)
    where = f"/v1/dead-letters/replays/{result['replay_id']}"
    assert (await api.get(where)).json()["states"] == {"queued": 1, "scheduled": 2}
    await spine.dispatcher.single_pass()
    message = await spine.message("maintenance\x06\x161")
    assert message is not None
    verdict = await spine.gate(message)
    async with spine.recording():
        undone = await api.post(f"{where}/undo")
    assert undone.status_code == 200, undone.text
    assert undone.json()["states"] == {"cancelled": 2, "running": 1}
    assert [group[2] for group in await groups(api)] == [2]
    await spine.report(message, verdict)
    await spine.record_all()
    assert (await api.get(where)).json()["states"] == {"cancelled": 2, "succeeded": 1}
    (listed,) = (await api.get("/v1/dead-letters/replays")).json()["items"]
    assert (listed["id"], listed["filter"], listed["tasks"]) == (result["replay_id"], {"task_type": "noop"}, 3)
    # What was given back can be run again.
    assert (await replay(api, task_type="noop"))["tasks"] == 2
    assert len(old) == 3


async def undone(spine: Spine, api: httpx.AsyncClient) -> tuple[str, str, str]:
    """A dead letter, the task it was run again as, which was taken back, and the address of the replay."""
    old = await ended(spine)
    where = f"/v1/dead-letters/replays/{(await replay(api, task_type='noop'))['replay_id']}"
    (row,) = await spine.rows("SELECT id FROM task_live")
    assert (await api.post(f"{where}/undo")).json()["states"] == {"cancelled": 1}
    return old, str(row["id"]), where


async def test_of_a_task_taken_back_and_its_original_only_the_original_runs_again(
    spine: Spine, api: httpx.AsyncClient
) -> None:
    old, taken_back, where = await undone(spine, api)
    refused = await api.post(f"/v1/tasks/{taken_back}/retry")
    assert (refused.status_code, refused.json()["task_id"]) == (409, old)
    assert (await api.get(f"/v1/tasks/{taken_back}")).json()["replayed_as"] is None
    assert (await api.post(f"/v1/tasks/{old}/retry")).status_code == 202
    refused = await api.post(f"/v1/tasks/{taken_back}/retry")
    assert (refused.status_code, refused.json()["type"]) == (409, PROBLEM + "task-replayed")
    assert len(await spine.rows("SELECT id FROM task_live")) == 1
    # Asked again, it takes back what it made, and nothing else.
    assert (await api.post(f"{where}/undo")).json()["states"] == {"cancelled": 1}
    assert len(await spine.rows("SELECT id FROM task_live")) == 1


async def test_what_was_retried_before_an_undo_reached_it_is_not_given_back(
    spine: Spine, api: httpx.AsyncClient
) -> None:
    old = await ended(spine)
    where = f"/v1/dead-letters/replays/{(await replay(api, task_type='noop'))['replay_id']}"
    (row,) = await spine.rows("SELECT id FROM task_live")
    assert (await api.post(f"/v1/tasks/{row['id']}/cancel")).json()["state"] == "cancelled"
    assert (await api.post(f"/v1/tasks/{row['id']}/retry")).status_code == 202
    await api.post(f"{where}/undo")
    assert (await api.post(f"/v1/tasks/{old}/retry")).json()["task_id"] == str(row["id"])
    assert len(await spine.rows("SELECT id FROM task_live")) == 1


async def test_race_of_an_undo_and_retries_runs_the_work_once(spine: Spine, api: httpx.AsyncClient) -> None:
    old = [await ended(spine) for _ in range(10)]
    where = f"/v1/dead-letters/replays/{(await replay(api, task_type='noop'))['replay_id']}"
    new = [str(row["id"]) for row in await spine.rows("SELECT id FROM task_live")]
    await asyncio.gather(*(api.post(f"/v1/tasks/{task}/cancel") for task in new))
    await asyncio.gather(
        *(api.post(f"/v1/tasks/{task}/retry") for task in new[::2]),
        api.post(f"{where}/undo"),
        *(api.post(f"/v1/tasks/{task}/retry") for task in (*old, *new)),
    )
    for task in (*old, *new):
        await api.post(f"/v1/tasks/{task}/retry")
    assert len(await spine.rows("SELECT id FROM task_live")) == len(old)


async def test_replays_are_listed_page_by_page(spine: Spine, api: httpx.AsyncClient) -> None:
    made = [(await replay(api, task_type="noop"))["replay_id"] for _ in range(5)]
    found: list[str] = []
    parameters: dict[str, Any] = {"limit": 2}
    while True:
        page = (await api.get("/v1/dead-letters/replays", params=parameters)).json()
        found += [one["id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
    assert found == made[::-1]


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({}, ""),
        ({"limit": 5}, ""),
        ({"task_type": "a", "limit": 0}, "/limit"),
        ({"task_type": "a", "limit": 10_001}, "/limit"),
        ({"task_type": "a", "rate_per_second": 0}, "/rate_per_second"),
        ({"task_type": "a\x00"}, "/task_type"),
        ({"failed_after": "yesterday"}, "/failed_after"),
        ({"failed_after": "2026"}, "/failed_after"),
        ({"failed_before": "1767225600.5"}, "/failed_before"),
        ({"queue": "nowhere"}, "/queue"),
        ({"task_type": "nobody.knows"}, "/task_type"),
        ({"task_type": "nobody.knows", "dry_run": True}, "/task_type"),
        ({"task_typ": "a"}, "/task_typ"),
    ],
)
async def test_a_replay_that_is_not_understood_is_refused(api: httpx.AsyncClient, body: Any, at: str) -> None:
    answer = await api.post("/v1/dead-letters/replay", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == at


@pytest.mark.parametrize("query", ["failed_after=2026", "failed_before=0", "queue=nowhere", "task_type=nobody.knows"])
async def test_dead_letters_of_a_filter_that_is_not_understood_are_refused(api: httpx.AsyncClient, query: str) -> None:
    answer = await api.get(f"/v1/dead-letters?{query}")
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/query/{query.partition('=')[0]}"]


async def test_dead_letters_of_a_queue_that_is_gone_are_found(spine: Spine, api: httpx.AsyncClient) -> None:
    await ended(spine, queue="gone", task_type="gone.too")
    assert await groups(api, queue="gone", task_type="gone.too") == [("gone.too", "ValueError", 1)]


async def test_a_replay_that_nobody_asked_for_is_not_found(api: httpx.AsyncClient) -> None:
    for unknown in ("01a20271-c811-71a5-99c0-510fde22a57d", "seven"):
        for call in (
            api.get(f"/v1/dead-letters/replays/{unknown}"),
            api.post(f"/v1/dead-letters/replays/{unknown}/undo"),
        ):
            answer = await call
            assert (answer.status_code, answer.json()["type"]) == (404, PROBLEM + "unknown-replay")
