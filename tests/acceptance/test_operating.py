"""What an operator does, through HTTP and real workers: pause, resume, purge, retry, replay."""

import pytest

from tests.stand.stack import Row, Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


async def post(stack: Stack, path: str, **body: object) -> Row:
    answer = await stack.http.post(path, json=body)
    assert answer.status_code in (200, 202), answer.text
    found: Row = answer.json()
    return found


async def test_nothing_of_a_paused_queue_starts_until_it_is_resumed(stack: Stack) -> None:
    running = await stack.submit("sleep", args=[1], queue="email")
    await stack.wait_for_state(running, "running")
    paused = await post(stack, "/v1/queues/email/pause", reason="the relay is down")
    assert (paused["told"], paused["paused"]) == (True, True)
    try:
        waiting = [await stack.submit("ledger.write", queue="email") for _ in range(5)]
        elsewhere = await stack.submit("ledger.write", queue="reports")
        assert (await stack.finished(elsewhere))["state"] == "succeeded"
        # What ran when it was paused goes on.
        assert (await stack.finished(running))["state"] == "succeeded"
        states = [(await stack.task(task_id))["state"] for task_id in waiting]
        assert states == ["queued"] * 5
        assert not set(waiting) & stack.ledger.effects().keys()
        shown = (await stack.http.get("/v1/queues/email")).json()
        assert (shown["paused"], shown["pause_reason"]) == (True, "the relay is down")
    finally:
        await post(stack, "/v1/queues/email/resume")
    for task_id in waiting:
        assert (await stack.finished(task_id))["state"] == "succeeded"
    assert all(stack.ledger.effects()[task_id] == 1 for task_id in waiting)


async def test_a_purged_queue_is_empty_and_none_of_it_ever_runs(stack: Stack) -> None:
    await post(stack, "/v1/queues/external_api/pause", reason="to be purged")
    try:
        purged = [await stack.submit("ledger.write", queue="external_api") for _ in range(4)]
        refused = await stack.http.post("/v1/queues/external_api/purge", json={"expected": 3})
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:pointsman:problem:count-differs")
        assert (await post(stack, "/v1/queues/external_api/purge", expected=4))["tasks"] == 4
        for task_id in purged:
            assert (await stack.finished(task_id))["state"] == "cancelled"
    finally:
        await post(stack, "/v1/queues/external_api/resume")
    after = await stack.submit("ledger.write", queue="external_api")
    assert (await stack.finished(after))["state"] == "succeeded"
    assert not set(purged) & stack.ledger.effects().keys()


async def test_what_a_filter_cancels_never_runs_and_is_put_back(stack: Stack) -> None:
    await post(stack, "/v1/queues/external_api/pause", reason="so that all of it waits")

    async def submitted(campaign: str) -> str:
        return await stack.submit("ledger.write", queue="external_api", tags={"campaign": campaign})

    try:
        mixed = [await submitted(campaign) for _ in range(6) for campaign in ("wrong", "right")]
        wrong, right = mixed[::2], mixed[1::2]
        act = await post(stack, "/v1/tasks/cancel", tags={"campaign": "wrong"}, at_most=6)
        assert (act["stage"], act["tasks"]) == ("done", 6)
        arrived = await submitted("wrong")
        for task_id in wrong:
            assert (await stack.finished(task_id))["state"] == "cancelled"
    finally:
        await post(stack, "/v1/queues/external_api/resume")
    for task_id in (*right, arrived):
        assert (await stack.finished(task_id))["state"] == "succeeded"
    assert not set(wrong) & stack.ledger.effects().keys()
    await post(stack, f"/v1/task-acts/{act['id']}/undo")

    async def put_back() -> bool:
        shown = (await stack.http.get(f"/v1/task-acts/{act['id']}")).json()
        return bool((shown["stage"], shown["put_back"]) == ("undone", 6))

    await until(put_back, "all of it to be put back")
    for task_id in wrong:
        again = (await stack.task(task_id))["replayed_as"]
        assert (await stack.finished(again))["state"] == "succeeded"


async def test_a_task_of_later_runs_now_elsewhere(stack: Stack) -> None:
    task_id = await stack.submit("ledger.write", queue="email", delay_seconds=3600)
    answer = await stack.http.patch(f"/v1/tasks/{task_id}", json={"delay_seconds": 0, "queue": "reports"})
    assert answer.status_code == 200, answer.text
    found = await stack.finished(task_id)
    assert (found["state"], found["queue"]) == ("succeeded", "reports")


async def test_a_failed_task_is_retried_and_its_group_replayed(stack: Stack) -> None:
    spent = [await stack.submit("ledger.flaky", args=[9], max_attempts=1) for _ in range(3)]
    for task_id in spent:
        assert (await stack.finished(task_id))["state"] == "failed"
    wanted = {"task_type": "ledger.flaky", "error_type": "ConnectionError"}

    async def group() -> Row:
        (found,) = (await stack.http.get("/v1/dead-letters", params=wanted)).json()["items"]
        return dict(found)

    before = await group()
    one = await post(stack, f"/v1/tasks/{spent[0]}/retry")
    assert one["replayed_from"] == spent[0]
    again = await stack.finished(one["id"])
    assert (again["state"], again["attempt"]) == ("failed", 1)
    # The one that failed again stands for the first.
    assert (await group())["count"] == before["count"]
    replay = await post(stack, "/v1/dead-letters/replay", **wanted, limit=2, rate_per_second=20)
    assert replay["tasks"] == 2

    async def ended() -> bool:
        shown = (await stack.http.get(f"/v1/dead-letters/replays/{replay['replay_id']}")).json()
        return bool(shown["states"] == {"failed": 2})

    await until(ended, "the replayed tasks to fail again")
