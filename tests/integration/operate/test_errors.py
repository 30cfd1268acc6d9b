"""Error groups over HTTP: listed, narrowed, judged, and acted on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from pointsman_service.failures.fingerprint import group_of
from pointsman_service.reconcile.due import DueSweep
from pointsman_service.store.errors import folding
from pointsman_service.store.errors.noting import note
from pointsman_service.store.listeners import Ended, Ends
from pointsman_service.store.reported import End, Moved
from tests.integration.operate.ended import ended
from tests.integration.operate.test_cancel import submitted, taken
from tests.integration.spine import Spine

NOBODY = "5b0f9a52-7c1e-8d3a-9f21-0c6c3f1f9b77"


async def failed(
    spine: Spine,
    error_type: str = "OSError",
    message: str = "no",
    *,
    ago: float = 0.0,
    queue: str = "maintenance",
    task_type: str = "noop",
    blamed: str | None = None,
) -> tuple[str, str]:
    """A task that failed for good so, and is in its group; the ids of both."""
    at = datetime.now(UTC) - timedelta(seconds=ago)
    group = group_of(task_type, error_type, message, "")
    task = await ended(spine, error_type=error_type, finished_at=at, queue=queue, task_type=task_type)
    await spine.run("UPDATE task SET error_group = :group, error_message = :said WHERE id = :id", group=group, id=task,
                    said=message)  # fmt: skip
    end = End(task, 1, "failed", at, at, "w", 0.1, None, error_type, message, "", error_group=group, blamed=blamed)
    async with spine.store.transaction() as connection:
        await note(connection, Ends([Ended(Moved(task, task_type, queue, False, 1, None, None, "failed"), end)]))
        await folding.fold(connection, 10)
    return task, group


async def failed_once(spine: Spine, message: str, retry_in_seconds: float = 600.0) -> tuple[str, str]:
    """A task that waits to be tried again after it has failed so, and the group of that; the ids of both."""
    task = str(await submitted(spine))
    found = await taken(spine)
    error = {"type": "OSError", "message": message, "traceback": ""}
    verdict = await spine.gate(found)
    await spine.report(found, verdict, "failed", error=error, retry_in_seconds=retry_in_seconds, run_seconds=0.0)
    await spine.record_all()
    return task, group_of("noop", "OSError", message, "")


async def listed(api: httpx.AsyncClient, **parameters: Any) -> list[dict[str, Any]]:
    answer = await api.get("/v1/errors", params=parameters)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def post(api: httpx.AsyncClient, group: str, act: str, **body: Any) -> dict[str, Any]:
    answer = await api.post(f"/v1/errors/{group}/{act}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_group_tells_how_often_and_since_when(spine: Spine, api: httpx.AsyncClient) -> None:
    await failed(spine, message="no answer from 10.0.0.1", ago=7300, blamed="dependency:smtp")
    newest, group = await failed(spine, message="no answer from 10.0.0.2", queue="email")
    (found,) = await listed(api)
    told = {name: found[name] for name in ("id", "task_type", "error_type", "message", "breaker", "state", "count")}
    assert told == {
        "id": group,
        "task_type": "noop",
        "error_type": "OSError",
        "message": "no answer from <host>",
        "breaker": "dependency:smtp",
        "state": "open",
        "count": 2,
    }
    assert (found["new"], found["back_again"], found["failed_tasks"]) == (True, False, 2)
    assert found["example"] == {"task_id": newest, "attempt": 1, "message": "no answer from 10.0.0.2"}
    assert found["total"] == {"count": 2, "failed_tasks": 2}
    # Today's hour is the last of them, and yesterday's the first.
    assert (len(found["sparkline"]), sum(found["sparkline"]), found["sparkline"][-1]) == (25, 2, 1)
    (lately,) = await listed(api, window_seconds=3600)
    assert (lately["count"], lately["total"]["count"], lately["sparkline"][-1]) == (1, 2, 1)
    (there,) = await listed(api, queue="email")
    assert there["count"] == 1


async def test_groups_are_narrowed_and_paged_in_their_order(spine: Spine, api: httpx.AsyncClient) -> None:
    names = ("AError", "BError", "CError", "DError", "EError")
    for number, name in enumerate(names):
        for _ in range(5 - number):
            await failed(spine, name)
    for order, expected in (("changed", list(names[::-1])), ("most", list(names))):
        found: list[str] = []
        parameters: dict[str, Any] = {"order": order, "limit": 2}
        while True:
            page = (await api.get("/v1/errors", params=parameters)).json()
            found += [item["error_type"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            parameters["cursor"] = page["next_cursor"]
        assert found == expected
    assert [item["error_type"] for item in await listed(api, error_type="BError", task_type="noop")] == ["BError"]
    assert await listed(api, state="resolved") == []
    assert await listed(api, queue="email") == []


async def test_a_resolved_one_leaves_the_open_ones_until_it_is_back_again(spine: Spine, api: httpx.AsyncClient) -> None:
    _, group = await failed(spine)
    resolved = await post(api, group, "resolve", reason="mended", who="ada")
    assert (resolved["state"], resolved["new"]) == ("resolved", False)
    assert (resolved["judged"]["who"], resolved["judged"]["reason"]) == ("ada", "mended")
    assert await listed(api, state="open") == []
    await failed(spine)
    (back,) = await listed(api, state="open")
    assert (back["back_again"], back["new"], back["count"]) == (True, False, 2)
    whole = (await api.get(f"/v1/errors/{group}")).json()
    assert [(change["before"], change["after"], change["who"]) for change in whole["history"]] == [
        ("resolved", "open", "pointsman"),
        ("open", "resolved", "ada"),
    ]
    assert len(whole["recent_tasks"]) == 2


async def test_an_ignored_one_says_until_when(spine: Spine, api: httpx.AsyncClient) -> None:
    _, group = await failed(spine)
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    ignored = await post(api, group, "ignore", reason="their maintenance", until=until, per_hour=5)
    assert (ignored["state"], ignored["ignored"]["per_hour"], ignored["ignored"]["count"]) == ("ignored", 5, None)
    assert [item["id"] for item in await listed(api, state="ignored")] == [group]
    # From that moment on it is open, before anybody has written so.
    await spine.run("UPDATE error_group SET ignored_until = now() - interval '1 second'")
    assert [(item["state"], item["ignored"]) for item in await listed(api, state="open")] == [("open", None)]
    await post(api, group, "ignore", reason="again", count=1)
    reopened = await post(api, group, "reopen")
    assert (reopened["state"], reopened["new"], reopened["back_again"]) == ("open", False, False)


async def test_what_was_said_already_changes_nothing(spine: Spine, api: httpx.AsyncClient) -> None:
    _, group = await failed(spine)
    first = await post(api, group, "resolve", reason="mended", who="ada")
    second = await post(api, group, "resolve", reason="mended", who="bob")
    assert first == second
    assert len(second["history"]) == 1


async def test_what_cannot_be_asked_is_refused(api: httpx.AsyncClient) -> None:
    for path, body, status in (
        (f"{NOBODY}/resolve", {}, 404),
        ("x/resolve", {}, 422),
        (f"{NOBODY}/ignore", {}, 422),
        (f"{NOBODY}/ignore", {"reason": "r", "per_hour": 0}, 422),
        (f"{NOBODY}/ignore", {"reason": "r", "until": "tomorrow"}, 422),
        (f"{NOBODY}/reopen", {"reason": "r", "more": 1}, 422),
        (f"{NOBODY}/ignore", {"reason": "r", "until": "2020-01-01T00:00:00Z"}, 422),
    ):
        answer = await api.post(f"/v1/errors/{path}", json=body)
        assert answer.status_code == status, (path, answer.text)
    assert (await api.get(f"/v1/errors/{NOBODY}")).json()["type"] == "urn:pointsman:problem:unknown-error-group"
    for query in (
        "state=closed",
        "window_seconds=1",
        "cursor=1",
        "order=least",
        "queue=no_such",
        "task_type=of_nobody",
    ):
        answer = await api.get(f"/v1/errors?{query}")
        assert answer.status_code == 422, (query, answer.text)


async def test_a_group_is_run_again_as_one(spine: Spine, api: httpx.AsyncClient) -> None:
    first, group = await failed(spine, message="no answer from 10.0.0.1")
    second, _ = await failed(spine, message="no answer from 10.0.0.2")
    await failed(spine, "KeyError")
    tasks = (await api.get("/v1/tasks", params={"error_group": group})).json()["items"]
    assert [task["id"] for task in tasks] == [second, first]
    assert {task["error"]["group"] for task in tasks} == {group}
    counted = (await api.post("/v1/tasks/retry", json={"error_group": group, "dry_run": True})).json()
    assert counted["tasks"] == 2
    act = await api.post("/v1/tasks/retry", json={"error_group": group, "at_most": 2, "reason": "mended"})
    assert (act.status_code, act.json()["tasks"], act.json()["filter"]) == (202, 2, {"error_group": group})
    again = await spine.rows("SELECT replayed_from FROM task_live ORDER BY replayed_from")
    assert [str(row["replayed_from"]) for row in again] == [first, second]


async def test_what_waits_after_a_failure_of_a_group_is_cancelled_as_one(spine: Spine, api: httpx.AsyncClient) -> None:
    waiting, group = await failed_once(spine, "no answer from 10.0.0.1")
    held, _ = await failed_once(spine, "no answer from 10.0.0.2")
    await spine.run(
        "UPDATE task_live SET state = 'held', place = 'held', held_reason = 'breaker:dependency:smtp', held_at = now()"
        " WHERE id = :id",
        id=held,
    )
    other, _ = await failed_once(spine, "no customer")
    ended_so, _ = await failed(spine, message="no answer from 10.0.0.3")
    new = str(await submitted(spine, delay_seconds=3600.0))
    every = [ended_so, held, waiting]
    for state, hit in (("retrying", [waiting]), ("held", [held]), ("scheduled", []), ("running", []), (None, every)):
        narrowed = {"error_group": group} | ({} if state is None else {"state": state})
        listed_so = (await api.get("/v1/tasks", params=narrowed)).json()["items"]
        assert [task["id"] for task in listed_so] == hit, state
        assert {task["error"]["group"] for task in listed_so} <= {group}
        if state not in (None, "running"):
            counted = (await api.post("/v1/tasks/cancel", json=narrowed | {"dry_run": True})).json()
            assert counted["tasks"] == len(hit), state
    too_many = await api.post("/v1/tasks/cancel", json={"error_group": group, "at_most": 1})
    assert (too_many.status_code, too_many.json()["type"]) == (409, "urn:pointsman:problem:count-differs")
    async with spine.recording():
        answer = await api.post("/v1/tasks/cancel", json={"error_group": group, "at_most": 2, "reason": "of no use"})
    act = answer.json()
    assert (answer.status_code, act["states"], act["filter"]) == (202, {"cancelled": 2}, {"error_group": group})
    left = await spine.rows("SELECT id::text FROM task_live ORDER BY id")
    assert [row["id"] for row in left] == sorted([other, new])

    # What was cancelled keeps its group, and is found by it to run again.
    again = await api.post("/v1/tasks/retry", json={"error_group": group, "state": "cancelled"})
    assert again.json()["tasks"] == 2
    made = await spine.rows("SELECT replayed_from::text FROM task_live WHERE replayed_from IS NOT NULL")
    assert {row["replayed_from"] for row in made} == {waiting, held}


async def test_what_runs_again_after_a_failure_of_a_group_is_ended_where_that_is_wanted(
    spine: Spine, api: httpx.AsyncClient
) -> None:
    runs, group = await failed_once(spine, "no answer from 10.0.0.1", retry_in_seconds=0.0)
    await DueSweep(spine.store, spine.settings).single_pass()
    await spine.dispatcher.single_pass()
    await spine.gate(await taken(spine))
    new = await submitted(spine)
    await spine.gate(await taken(spine))
    await spine.record_all()
    states = {row["id"]: row["state"] for row in await spine.rows("SELECT id::text, state FROM task_live")}
    assert states == {runs: "running", str(new): "running"}
    asked = {"error_group": group, "dry_run": True}
    assert (await api.post("/v1/tasks/cancel", json=asked)).json()["tasks"] == 0
    ends = {"error_group": group, "end_running": True, "grace_seconds": 5}
    assert (await api.post("/v1/tasks/cancel", json=ends)).json()["tasks"] == 1
    asked_to_end = await spine.rows("SELECT id::text FROM task_live WHERE cancel_requested_at IS NOT NULL")
    assert [row["id"] for row in asked_to_end] == [runs]
