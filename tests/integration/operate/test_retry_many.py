from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from pointsman_service.operate import walk
from pointsman_service.reconcile import task_acts
from pointsman_service.reconcile.task_acts import TaskActsSweep
from tests.integration.operate.ended import PROBLEM, ended
from tests.integration.spine import Spine


async def retry(api: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await api.post("/v1/tasks/retry", json=body)
    assert answer.status_code in (200, 202), answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_acts, "_LOOKED_AT", 3)
    monkeypatch.setattr(task_acts, "_MADE", 2)


async def again(spine: Spine) -> set[str]:
    return {str(row["id"]) for row in await spine.rows("SELECT replayed_from AS id FROM task_live")}


async def test_exactly_what_the_filter_finds_runs_again(
    spine: Spine, api: httpx.AsyncClient, in_small_parts: None
) -> None:
    failed = [await ended(spine) for _ in range(3)]
    other = await ended(spine, error_type="OSError")
    cancelled = [await ended(spine, "cancelled") for _ in range(2)]
    await ended(spine, "succeeded")
    await ended(spine, queue="reports")
    await ended(spine, queue="was_removed")
    by_hand = await ended(spine)
    assert (await api.post(f"/v1/tasks/{by_hand}/retry")).status_code == 202
    assert (await retry(api, queue="maintenance", dry_run=True))["tasks"] == 4
    act = await retry(api, queue="maintenance", error_type="ValueError")
    assert (act["stage"], act["tasks"], act["states"]) == ("done", 3, {"queued": 3})
    assert await again(spine) == {by_hand, *failed}
    assert (await retry(api, queue="maintenance", state="cancelled", limit=1))["tasks"] == 1
    assert await again(spine) == {by_hand, *failed, cancelled[0]}
    assert (await retry(api, task_type="noop"))["tasks"] == 2, "the other error, and the other queue"
    assert other in await again(spine)
    assert (await retry(api, task_type="noop"))["tasks"] == 0


async def test_filters_of_lists_are_those_of_acts_with_the_same_meaning(
    spine: Spine, api: httpx.AsyncClient, in_small_parts: None
) -> None:
    for _ in range(7):
        await ended(spine)
    await spine.run(
        "UPDATE task SET caller = 'c' || n, worker = 'w' || n, attempt = n, error_message = 'No ' || n || '0% left',"
        " finished_at = now() - n * interval '1 minute'"
        " FROM (SELECT id AS of, row_number() OVER (ORDER BY id) AS n FROM task) AS numbered WHERE id = of"
    )
    moments = {n: (datetime.now(UTC) - timedelta(minutes=n, seconds=-30)).isoformat() for n in range(1, 8)}
    wanted: list[dict[str, Any]] = [
        {"caller": "c3"},
        {"worker": "w4"},
        {"attempts": 5},
        {"attempts_at_least": 5},
        {"error_message": "no 30%"},
        {"error_message": "_0%"},
        {"finished_after": moments[3], "state": "failed"},
        {"finished_before": moments[3]},
        {"finished_before": moments[3], "attempts_at_least": 5, "caller": "c6"},
    ]
    counts = []
    for one in wanted:
        counted = (await retry(api, **one, dry_run=True))["tasks"]
        found = (await api.get("/v1/tasks", params=one)).json()
        assert counted == len(found["items"]), one
        counts.append(counted)
    assert counts == [1, 1, 1, 3, 1, 0, 2, 5, 1]
    waiting = {"caller": "c2", "attempts": 2, "attempts_at_least": 1, "worker": "w2"}
    assert (await retry(api, **waiting))["tasks"] == 1
    assert (await api.post("/v1/tasks/cancel", json={"caller": "c2", "dry_run": True})).json()["tasks"] == 0
    assert (await api.post("/v1/tasks/cancel", json={"caller": "local", "attempts": 0})).json()["tasks"] == 1
    assert (await api.post("/v1/tasks/cancel", json={"error_message": "left"})).status_code == 422


async def test_a_rate_goes_on_from_part_to_part(spine: Spine, api: httpx.AsyncClient, in_small_parts: None) -> None:
    for _ in range(5):
        await ended(spine)
    act = await retry(api, queue="maintenance", rate_per_second=0.5)
    asked = datetime.fromisoformat(act["requested_at"])
    rows = await spine.rows("SELECT due_at, state FROM task_live ORDER BY due_at")
    waits = [round((row["due_at"] - asked).total_seconds()) for row in rows]
    assert waits == [0, 2, 4, 6, 8]
    assert [row["state"] for row in rows] == ["queued", *["scheduled"] * 4]
    assert datetime.fromisoformat(act["last_due_at"]) == rows[-1]["due_at"]


async def test_a_retry_whose_process_dies_goes_on_and_is_undone(
    spine: Spine, api: httpx.AsyncClient, in_small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [await ended(spine) for _ in range(5)]
    with monkeypatch.context() as dead:
        dead.setattr(walk, "_SECONDS", 0.0)
        act = await retry(api, queue="maintenance")
    assert (act["stage"], act["tasks"]) == ("walking", 0)
    # What fails from now on is none of its tasks.
    late = await ended(spine)
    await spine.run("UPDATE replay SET submitted_before = (SELECT submitted_at FROM task WHERE id = :id)", id=late)
    sweep = TaskActsSweep(spine.store, spine.settings)
    while await sweep.single_pass():
        pass
    assert await again(spine) == set(old)
    await spine.dispatcher.single_pass()
    message = await spine.message("maintenance\x06\x161")
    assert message is not None
    verdict = await spine.gate(message)
    async with spine.recording():
        undone = (await api.post(f"/v1/task-acts/{act['id']}/undo")).json()
    assert (undone["stage"], undone["put_back"], undone["states"]) == ("undone", 4, {"cancelled": 4, "running": 1})
    await spine.report(message, verdict)
    await spine.record_all()
    # What was given back can be run again, and what ran cannot.
    assert (await retry(api, queue="maintenance"))["tasks"] == 5


async def test_finished_tasks_submitted_after_the_bounds_are_left_out(spine: Spine, api: httpx.AsyncClient) -> None:
    await ended(spine)
    new = datetime.now(UTC) + timedelta(hours=1)
    assert (await retry(api, queue="maintenance", submitted_after=new.isoformat()))["tasks"] == 0
    assert (await retry(api, queue="maintenance", submitted_before="2020-01-01T00:00:00Z"))["tasks"] == 0
    refused = await api.post("/v1/tasks/retry", json={"queue": "maintenance", "at_most": 0})
    assert (refused.status_code, refused.json()["type"]) == (409, PROBLEM + "count-differs")
    assert (await retry(api, queue="maintenance", at_most=1))["tasks"] == 1
