import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from pointsman_service.operate import walk
from pointsman_service.reconcile import task_acts
from pointsman_service.reconcile.cancelled import CancelledSweep
from pointsman_service.reconcile.task_acts import TaskActsSweep
from pointsman_service.store.tasks import acts, replaying
from tests.integration.operate.ended import PROBLEM
from tests.integration.operate.test_cancel import ERROR, MAINTENANCE, asked, submitted, taken
from tests.integration.operate.test_purge import waits_for_a_lock
from tests.integration.spine import Spine
from tests.stand.waiting import until

SPRING = '{"campaign": "spring"}'


async def cancel(spine: Spine, api: httpx.AsyncClient, key: str | None = None, **body: Any) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    async with spine.recording():
        return await api.post("/v1/tasks/cancel", json=body, headers=headers)


async def undo(spine: Spine, api: httpx.AsyncClient, act_id: str) -> dict[str, Any]:
    async with spine.recording():
        answer = await api.post(f"/v1/task-acts/{act_id}/undo")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def left(spine: Spine) -> set[UUID]:
    return {row["id"] for row in await spine.rows("SELECT id FROM task_live WHERE cancel_requested_at IS NULL")}


@pytest.fixture
def in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_acts, "_LOOKED_AT", 3)
    monkeypatch.setattr(task_acts, "_MADE", 2)


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes a request dies before it has walked."""
    monkeypatch.setattr(walk, "_SECONDS", 0.0)


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({"submitted_before": "2020-01-01T00:00:00Z"}, ""),
    ({"tags": {"campaign": "spring"}, "queue": "reports"}, ""),
    ({"held_reason": "breaker:dependency:crm"}, ""),
    ({"held_reason": "breaker:dependency:smtp"}, "held"),
    ({"queue": "maintenance", "state": "scheduled"}, "later"),
    ({"tags": {"campaign": "spring"}}, "tagged"),
    ({"task_type": "other"}, "elsewhere"),
    ({"queue": "maintenance", "limit": 1}, "sent"),
    ({"submitted_before": "2100-01-01T00:00:00Z"}, "waits"),
]
"""One after the other, and what each hits of what those before have left."""


async def test_exactly_what_the_filter_finds_is_cancelled(
    spine: Spine, api: httpx.AsyncClient, in_small_parts: None
) -> None:
    tasks = {
        "sent": await submitted(spine),
        "later": await submitted(spine, delay_seconds=3600.0),
        "held": await submitted(spine),
        "tagged": await submitted(spine, tags=SPRING),
        "elsewhere": await submitted(spine, queue="reports", priority=6, task_type="other"),
        "running": await submitted(spine, tags=SPRING),
    }
    spine.window.shut()
    tasks["waits"] = await submitted(spine)
    await spine.run(
        "UPDATE task_live SET state = 'held', place = 'held', held_reason = 'breaker:dependency:smtp', held_at = now()"
        " WHERE id = :id",
        id=tasks["held"],
    )
    while (message := await spine.message(MAINTENANCE)) is not None:
        if message["headers"]["id"] == str(tasks["running"]):
            await spine.gate(message)
    await spine.record_all()
    assert len(await spine.rows("SELECT id FROM task_live WHERE state = 'running'")) == 1
    for narrowed, hit in FILTERS:
        before = await left(spine)
        counted = (await api.post("/v1/tasks/cancel", json=narrowed | {"dry_run": True})).json()
        assert (counted["tasks"], await left(spine)) == (len(hit.split()), before)
        answer = await cancel(spine, api, **narrowed)
        act = answer.json()
        assert (answer.status_code, act["stage"], act["pending"]) == (202, "done", 0), answer.text
        assert act["states"] == ({"cancelled": len(hit.split())} if hit else {})
        assert before - await left(spine) == {tasks[name] for name in hit.split()}, narrowed
        assert (await api.get(answer.headers["location"])).json() == act
    assert await left(spine) == {tasks["running"]}


async def test_what_arrives_while_an_act_walks_is_not_hit(
    spine: Spine, api: httpx.AsyncClient, in_small_parts: None
) -> None:
    old = [await submitted(spine) for _ in range(5)]
    async with asyncio.TaskGroup() as group, spine.store.transaction() as holder:
        await holder.execute(text("SELECT FROM task_live WHERE id = CAST(:id AS uuid) FOR UPDATE"), {"id": old[3]})
        cancelling = group.create_task(cancel(spine, api, queue="maintenance"))
        await until(lambda: waits_for_a_lock(spine), "the walk to wait")
        new = await submitted(spine)
    assert cancelling.result().json()["states"] == {"cancelled": 5}
    assert await left(spine) == {new}


async def test_a_sent_task_does_not_start_and_one_that_did_goes_on(spine: Spine, api: httpx.AsyncClient) -> None:
    for _ in range(2):
        await submitted(spine)
    message = await taken(spine)
    # Its start is not recorded: the row says queued, the claim says that it runs.
    verdict = await spine.gate(message)
    answer = await api.post("/v1/tasks/cancel", json={"queue": "maintenance"})
    assert (answer.json()["tasks"], answer.json()["pending"]) == (2, 2)
    assert await spine.gate(await taken(spine)) == [b"cancelled"]
    await spine.record_all()
    async with spine.recording():
        await CancelledSweep(spine.store, spine.server, spine.settings).single_pass()
    where = answer.headers["location"]
    assert (await api.get(where)).json()["states"] == {"cancelled": 1, "running": 1}
    await spine.report(message, verdict)
    await spine.record_all()
    assert (await api.get(where)).json()["states"] == {"cancelled": 1, "succeeded": 1}


async def test_what_runs_is_asked_to_end_where_that_is_wanted(spine: Spine, api: httpx.AsyncClient) -> None:
    runs = await submitted(spine)
    message = await taken(spine)
    verdict = await spine.gate(message)
    await spine.record_all()
    answer = await cancel(spine, api, queue="maintenance", end_running=True, grace_seconds=7.5)
    assert (answer.json()["tasks"], answer.json()["states"]) == (1, {"running": 1})
    assert await asked(spine, runs) == "7.5"
    await spine.report(message, verdict, "failed", error=ERROR, retry_in_seconds=0.0)
    await spine.record_all()
    assert await spine.rows("SELECT state, cancel_requested_by FROM task") == [
        {"state": "cancelled", "cancel_requested_by": "local"}
    ]


async def test_an_act_whose_process_dies_goes_on(
    spine: Spine, api: httpx.AsyncClient, in_small_parts: None, dies: None
) -> None:
    for _ in range(7):
        await submitted(spine, delay_seconds=3600.0)
    answer = await cancel(spine, api, queue="maintenance", reason="by mistake")
    act = answer.json()
    assert (answer.status_code, act["stage"], act["looked_at"], act["tasks"]) == (202, "walking", 0, 0)
    new = await submitted(spine, delay_seconds=3600.0)
    sweep = TaskActsSweep(spine.store, spine.settings)
    await sweep.single_pass()
    part = (await api.get(answer.headers["location"])).json()
    assert (part["stage"], part["looked_at"], part["tasks"]) == ("walking", 3, 3)
    while await sweep.single_pass():
        pass
    done = (await api.get(answer.headers["location"])).json()
    assert (done["stage"], done["looked_at"], done["tasks"], done["reason"]) == ("done", 8, 7, "by mistake")
    assert await left(spine) == {new}


async def test_a_part_whose_transaction_breaks_is_done_again_and_counted_once(
    spine: Spine, api: httpx.AsyncClient, in_small_parts: None, dies: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        await submitted(spine, delay_seconds=3600.0)
    where = (await cancel(spine, api, queue="maintenance")).headers["location"]
    sweep = TaskActsSweep(spine.store, spine.settings)

    async def broken(*_: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr(acts, "walked", broken)
        with pytest.raises(Exception, match="did not answer"):
            await sweep.single_pass()
    assert len(await left(spine)) == 4
    while await sweep.single_pass():
        pass
    act = (await api.get(where)).json()
    assert (act["looked_at"], act["tasks"], len(await spine.rows("SELECT task_id FROM cancelled_task"))) == (4, 4, 4)


async def test_two_who_walk_one_act_do_each_part_once(
    spine: Spine, api: httpx.AsyncClient, in_small_parts: None, dies: None
) -> None:
    for _ in range(20):
        await submitted(spine, delay_seconds=3600.0)
    where = (await cancel(spine, api, queue="maintenance")).headers["location"]

    async def walks() -> None:
        sweep = TaskActsSweep(spine.store, spine.settings)
        while (await api.get(where)).json()["stage"] == "walking":
            await sweep.single_pass()

    await asyncio.gather(walks(), walks(), walks())
    act = (await api.get(where)).json()
    assert (act["looked_at"], act["matched"], act["tasks"]) == (20, 20, 20)


async def test_no_more_than_the_rate_are_cancelled(spine: Spine, api: httpx.AsyncClient) -> None:
    for _ in range(6):
        await submitted(spine, delay_seconds=3600.0)
    answer = await cancel(spine, api, queue="maintenance", rate_per_second=0.001)
    assert (answer.json()["stage"], answer.json()["tasks"]) == ("walking", 1)
    sweep = TaskActsSweep(spine.store, spine.settings)
    assert not await sweep.single_pass()
    await spine.run("UPDATE replay SET requested_at = now() - interval '3000 seconds'")
    await sweep.single_pass()
    part = (await api.get(answer.headers["location"])).json()
    assert (part["tasks"], part["looked_at"]) == (4, 4), "it has not looked at the rest"
    await spine.run("UPDATE replay SET requested_at = now() - interval '1 day'")
    while await sweep.single_pass():
        pass
    act = (await api.get(answer.headers["location"])).json()
    assert (act["stage"], act["tasks"], act["looked_at"]) == ("done", 6, 6)


async def test_states_of_an_act_are_read_task_by_task_however_many_others_there_are(
    spine: Spine, api: httpx.AsyncClient
) -> None:
    for statement in (acts._STATES_OF_CANCELLED, replaying._STATES):
        async with spine.store.statement() as connection:
            rows = await connection.execute(text(f"EXPLAIN {statement.text}"), {"id": str(UUID(int=0))})
            plan = "\n".join(rows.scalars())
        assert "Join" not in plan, plan
        assert "using pk_task_live" in plan, plan


async def test_what_a_cancel_took_is_put_back_as_it_was(
    spine: Spine, api: httpx.AsyncClient, in_small_parts: None
) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    ids = [await submitted(spine) for _ in range(3)]
    asleep = await submitted(
        spine, scheduled_at=later, expires_at=later + timedelta(hours=1), caller="shop", tags=SPRING
    )
    retried = await taken(spine)
    verdict = await spine.gate(retried)
    await spine.report(retried, verdict, "failed", error=ERROR, retry_in_seconds=60.0)
    await spine.record_all()
    act = (await cancel(spine, api, queue="maintenance")).json()
    assert act["states"] == {"cancelled": 4}
    undone = await undo(spine, api, act["id"])
    assert (undone["stage"], undone["put_back"], undone["states"]) == ("undone", 3, {"cancelled": 4})
    rows = await spine.rows(
        "SELECT replayed_from, state, caller, scheduled_at, expires_at, tags, attempt FROM task_live ORDER BY id"
    )
    # What had begun an attempt is not put back.
    assert {row["replayed_from"] for row in rows} == {asleep, *ids} - {UUID(retried["headers"]["id"])}
    (found,) = [row for row in rows if row["replayed_from"] == asleep]
    assert (found["state"], found["scheduled_at"], found["expires_at"]) == (
        "scheduled",
        later,
        later + timedelta(hours=1),
    )
    assert (found["caller"], found["tags"]) == ("shop", {"campaign": "spring"})
    assert (await api.get(f"/v1/tasks/{asleep}")).json()["replayed_as"] is not None
    # Asked again, it puts nothing back twice.
    assert (await undo(spine, api, act["id"]))["put_back"] == 3
    assert len(await left(spine)) == 3


async def test_an_undo_stops_a_walk_and_puts_back_what_it_had_reached(
    spine: Spine, api: httpx.AsyncClient, in_small_parts: None, dies: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await submitted(spine, delay_seconds=3600.0) for _ in range(5)]
    act = (await cancel(spine, api, queue="maintenance")).json()
    sweep = TaskActsSweep(spine.store, spine.settings)
    await sweep.single_pass()
    monkeypatch.setattr(walk, "_SECONDS", 3.0)
    undone = await undo(spine, api, act["id"])
    assert (undone["stage"], undone["tasks"], undone["put_back"]) == ("undone", 3, 3)
    assert not await sweep.single_pass()
    assert set(ids[3:]) < await left(spine)
    assert len(await left(spine)) == 5


async def test_an_act_that_is_stopped_goes_no_further_and_what_it_did_can_be_undone(
    spine: Spine, api: httpx.AsyncClient, in_small_parts: None
) -> None:
    ids = [await submitted(spine, delay_seconds=3600.0) for _ in range(5)]
    act = (await cancel(spine, api, queue="maintenance", rate_per_second=0.001)).json()
    assert (act["stage"], act["tasks"]) == ("walking", 1)
    stopped = (await api.post(f"/v1/task-acts/{act['id']}/stop", json={"reason": "enough"})).json()
    assert (stopped["stage"], stopped["tasks"]) == ("done", 1)
    await spine.run("UPDATE replay SET requested_at = now() - interval '1 day'")
    assert not await TaskActsSweep(spine.store, spine.settings).single_pass()
    assert await left(spine) == set(ids[1:])
    again = (await api.post(f"/v1/task-acts/{act['id']}/stop")).json()
    assert (again["stage"], again["tasks"]) == ("done", 1), "what is done stays as it is"
    assert (await undo(spine, api, act["id"]))["put_back"] == 1
    assert (await api.post(f"/v1/task-acts/{act['id']}/stop")).json()["stage"] == "undone"


async def test_an_undo_goes_on_by_itself_when_what_it_puts_back_could_not_end_yet(
    spine: Spine, api: httpx.AsyncClient
) -> None:
    await submitted(spine)
    epoch = await spine.server.command("HGET", "pointsman:control", "epoch")
    # Redis does not know this epoch: no claim can be closed.
    await spine.server.command("HSET", "pointsman:control", "epoch", int(epoch) + 7)
    act = (await cancel(spine, api, queue="maintenance")).json()
    assert (act["stage"], act["pending"]) == ("done", 1)
    undone = await undo(spine, api, act["id"])
    assert (undone["stage"], undone["put_back"]) == ("undoing", 0)
    await spine.server.command("HSET", "pointsman:control", "epoch", epoch)
    async with spine.recording():
        await CancelledSweep(spine.store, spine.server, spine.settings).single_pass()
    await TaskActsSweep(spine.store, spine.settings).single_pass()
    undone = (await api.get(f"/v1/task-acts/{act['id']}")).json()
    assert (undone["stage"], undone["put_back"]) == ("undone", 1)
    await spine.dispatcher.single_pass()
    verdicts = []
    while (message := await spine.message(MAINTENANCE)) is not None:
        verdicts.append((await spine.gate(message))[0])
    assert verdicts == [b"cancelled", b"run"]


async def test_what_was_run_again_by_hand_is_not_put_back(spine: Spine, api: httpx.AsyncClient) -> None:
    task = await submitted(spine)
    act = (await cancel(spine, api, queue="maintenance")).json()
    assert (await api.post(f"/v1/tasks/{task}/retry")).status_code == 202
    assert (await undo(spine, api, act["id"]))["put_back"] == 0
    assert len(await left(spine)) == 1


@pytest.mark.parametrize("seed", range(2))
async def test_race_of_a_cancel_and_its_undo_against_consuming(
    spine: Spine, api: httpx.AsyncClient, in_small_parts: None, seed: int
) -> None:
    chance = random.Random(seed)
    tasks = {str(await submitted(spine)) for _ in range(20)}
    ran: list[str] = []
    over = asyncio.Event()

    async def consume() -> None:
        while not over.is_set():
            await spine.dispatcher.single_pass()
            message = await spine.message(MAINTENANCE)
            await asyncio.sleep(chance.random() / 100)
            if message is not None and (verdict := await spine.gate(message))[0] == b"run":
                ran.append(message["headers"]["id"])
                await spine.report(message, verdict)

    async def cancel_and_undo() -> None:
        await asyncio.sleep(chance.random() / 20)
        act = (await api.post("/v1/tasks/cancel", json={"queue": "maintenance"})).json()
        await asyncio.sleep(chance.random() / 20)
        await api.post(f"/v1/task-acts/{act['id']}/undo")
        await until(lambda: is_undone(act["id"]), "the undo to end")

    async def is_undone(act_id: str) -> bool:
        await CancelledSweep(spine.store, spine.server, spine.settings).single_pass()
        await TaskActsSweep(spine.store, spine.settings).single_pass()
        return bool((await api.get(f"/v1/task-acts/{act_id}")).json()["stage"] == "undone")

    async def is_empty() -> bool:
        return not await spine.rows("SELECT id FROM task_live LIMIT 1")

    async with spine.recording():
        consuming = [asyncio.create_task(consume()) for _ in range(2)]
        await cancel_and_undo()
        await until(is_empty, "all of it to run")
        over.set()
        await asyncio.gather(*consuming)
    rows = await spine.rows("SELECT id, state, replayed_from FROM task")
    succeeded = [str(row["replayed_from"] or row["id"]) for row in rows if row["state"] == "succeeded"]
    assert sorted(succeeded) == sorted(tasks), f"the work of each was done once; seed {seed}"
    assert len(ran) == len(tasks)
    assert {row["state"] for row in rows} <= {"succeeded", "cancelled"}


async def test_the_same_key_gives_the_same_act(spine: Spine, api: httpx.AsyncClient) -> None:
    await submitted(spine)
    first = await cancel(spine, api, "k", queue="maintenance")
    new = await submitted(spine)
    second = await cancel(spine, api, "k", queue="maintenance")
    assert (first.status_code, second.status_code) == (202, 200)
    assert second.headers["idempotency-replayed"] == "true"
    assert (second.json()["id"], second.json()["tasks"]) == (first.json()["id"], 1)
    other = await cancel(spine, api, "k", queue="reports")
    assert (other.status_code, other.json()["type"]) == (422, PROBLEM + "idempotency-key-reused")
    assert await left(spine) == {new}


async def test_more_than_at_most_are_refused_and_nothing_is_stored(spine: Spine, api: httpx.AsyncClient) -> None:
    for _ in range(3):
        await submitted(spine)
    refused = await cancel(spine, api, queue="maintenance", at_most=2)
    assert (refused.status_code, refused.json()["type"]) == (409, PROBLEM + "count-differs")
    assert await spine.rows("SELECT id FROM replay") == []
    assert (await cancel(spine, api, queue="maintenance", at_most=3)).json()["tasks"] == 3


async def test_no_more_than_at_most_are_cancelled_whatever_fits_the_filter_later(
    spine: Spine, api: httpx.AsyncClient, dies: None
) -> None:
    spine.window.shut()
    ids = [await submitted(spine, delay_seconds=delay) for delay in (None, 3600.0, 3600.0, None)]
    acts_begun = [
        (await cancel(spine, api, state="scheduled", at_most=2)).json(),
        (await cancel(spine, api, state="retrying", at_most=0)).json(),
    ]
    assert (await api.patch(f"/v1/tasks/{ids[0]}", json={"delay_seconds": 60})).json()["state"] == "scheduled"
    await spine.run("UPDATE task_live SET state = 'retrying', place = 'asleep', attempt = 1 WHERE id = :id", id=ids[3])
    await submitted(spine, delay_seconds=3600.0)
    await submitted(spine, delay_seconds=3600.0)
    while await TaskActsSweep(spine.store, spine.settings).single_pass():
        pass
    found = [(await api.get(f"/v1/task-acts/{act['id']}")).json() for act in acts_begun]
    assert [(act["stage"], act["tasks"], act["at_most"]) for act in found] == [("done", 2, 2), ("done", 0, 0)]
    assert [act["limit"] for act in found] == [None, None]
    both = (await cancel(spine, api, state="held", limit=1, at_most=5)).json()
    assert (both["limit"], both["at_most"]) == (1, 5)
    assert await left(spine) >= {ids[2], ids[3]}


async def test_what_is_cancelled_by_a_filter_is_not_told_as_purged(spine: Spine, api: httpx.AsyncClient) -> None:
    never, begun, purged = [await submitted(spine, delay_seconds=3600.0) for _ in range(3)]
    await spine.run("UPDATE task_live SET state = 'retrying', attempt = 1 WHERE id = :id", id=begun)
    await spine.run("UPDATE task_live SET queue = 'email' WHERE id = :id", id=purged)
    await cancel(spine, api, queue="maintenance", reason="the wrong list")
    async with spine.recording():
        answer = await api.post("/v1/queues/email/purge", json={"expected": 1, "states": ["scheduled"]})
    assert (answer.status_code, answer.json()["tasks"]) == (200, 1), answer.text
    told = {task: (await api.get(f"/v1/tasks/{task}/explain")).json() for task in (never, begun, purged)}
    assert [one["cause"] for one in told.values()] == ["cancelled", "cancelled", "purged"]
    assert "It was cancelled by local at " in told[never]["sentence"]
    assert told[never]["sentence"].endswith(" before it started.")
    assert told[begun]["sentence"].endswith(" while it waited, after 1 attempt.")


async def test_what_started_before_a_filter_reached_it_is_not_said_to_be_cancelled(
    spine: Spine, api: httpx.AsyncClient
) -> None:
    task = await submitted(spine)
    message = await taken(spine)
    await spine.gate(message)
    await spine.run(
        "UPDATE task_live SET cancel_requested_at = now(), cancel_requested_by = 'local' WHERE id = :id", id=task
    )
    await spine.record_all()
    shown = (await api.get(f"/v1/tasks/{task}")).json()
    assert (shown["state"], shown["cancel_requested_at"], shown["cancel_requested_by"]) == ("running", None, None)


NOT_UNDERSTOOD: list[tuple[str, dict[str, Any], str]] = [
    ("cancel", {}, ""),
    ("cancel", {"dry_run": True}, ""),
    ("cancel", {"queue": "nowhere"}, "/queue"),
    ("cancel", {"task_type": "nothing"}, "/task_type"),
    ("cancel", {"state": "succeeded"}, "/state"),
    ("cancel", {"state": "running"}, "/end_running"),
    ("cancel", {"queue": "email", "grace_seconds": 1}, "/grace_seconds"),
    ("cancel", {"queue": "email", "error_type": "OSError"}, "/error_type"),
    ("cancel", {"error_group": "OSError"}, "/error_group"),
    ("cancel", {"tags": {"a": 1}}, "/tags/a"),
    ("retry", {}, ""),
    ("retry", {"queue": "nowhere"}, "/queue"),
    ("retry", {"state": "succeeded"}, "/state"),
    ("retry", {"queue": "email", "end_running": True}, "/end_running"),
]


async def test_an_act_that_is_not_understood_is_refused(spine: Spine, api: httpx.AsyncClient) -> None:
    for verb, body, pointer in NOT_UNDERSTOOD:
        answer = await api.post(f"/v1/tasks/{verb}", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), body
    assert await spine.rows("SELECT id FROM replay") == []


async def test_a_key_that_is_none_is_refused_on_a_dry_run_too(api: httpx.AsyncClient) -> None:
    for verb in ("cancel", "retry"):
        for dry_run in (True, False):
            body = {"queue": "email", "dry_run": dry_run}
            answer = await api.post(f"/v1/tasks/{verb}", json=body, headers={"Idempotency-Key": ""})
            assert answer.status_code == 400, answer.text


async def test_acts_are_listed_newest_first_page_by_page(spine: Spine, api: httpx.AsyncClient) -> None:
    ids = [(await cancel(spine, api, queue=queue)).json()["id"] for queue in ("email", "reports", "email")]
    await api.post("/v1/dead-letters/replay", json={"queue": "email"})
    first = (await api.get("/v1/task-acts", params={"limit": 2})).json()
    assert [act["id"] for act in first["items"]] == [ids[2], ids[1]]
    second = (await api.get("/v1/task-acts", params={"cursor": first["next_cursor"]})).json()
    assert ([act["id"] for act in second["items"]], second["next_cursor"]) == ([ids[0]], None)
    assert len((await api.get("/v1/dead-letters/replays")).json()["items"]) == 1
    for unknown in (str(uuid4()), "seven"):
        for answer in (await api.get(f"/v1/task-acts/{unknown}"), await api.post(f"/v1/task-acts/{unknown}/undo")):
            assert (answer.status_code, answer.json()["type"]) == (404, PROBLEM + "unknown-task-act")
