"""Failures become groups in the transaction that records them, and come back when they were resolved."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from pointsman_contract.queues import list_key
from pointsman_contract.states import TaskState
from pointsman_service.failures.fingerprint import REST_MESSAGE, VERSION, group_of, rest_of
from pointsman_service.failures.standing import GroupState
from pointsman_service.record import error_bounds, recorder
from pointsman_service.record.error_rollup import ErrorRollup
from pointsman_service.store.errors import judging
from pointsman_service.store.errors.judging import IgnoreLimit
from pointsman_service.store.errors.noting import note
from pointsman_service.store.listeners import Ended, Ends
from pointsman_service.store.reported import End, Moved
from pointsman_service.store.store import ConnectionLost
from pointsman_service.store.tasks import reading, replaying
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)
TRACE = 'Traceback (most recent call last):\n  File "/app/shop/tasks.py", line 3, in charge\n    x\nKeyError: 1\n'


async def fail(spine: Spine, message: str = "no customer 7", kind: str = "KeyError", **more: Any) -> str:
    """Submit a task whose only attempt fails so; its id. Nothing is recorded yet."""
    again = more.pop("again", None)
    task = new_task(**({"max_attempts": 2 if again else 1} | more))
    await spine.commits.join(task)
    await spine.commits.drain()
    found = await spine.message(MAINTENANCE)
    assert found is not None
    verdict = await spine.gate(found)
    error = {"type": kind, "message": message, "traceback": TRACE}
    outcome: dict[str, Any] = {"error": error} | ({"retry_in_seconds": 60.0} if again else {})
    await spine.report(found, verdict, "failed", **outcome)
    return task.id


async def fold(spine: Spine) -> None:
    await spine.record_all()
    await ErrorRollup(spine.store, spine.settings).single_pass()


async def groups(spine: Spine) -> list[dict[str, Any]]:
    return await spine.rows("SELECT * FROM error_group ORDER BY first_seen_at, id")


async def test_failures_of_one_cause_are_one_group(spine: Spine) -> None:
    for number in (7, 8):
        newest = await fail(spine, f"no customer {number}")
    retried = await fail(spine, "no customer 9", again=True)
    other = await fail(spine, "no stock")
    await fold(spine)
    first, second = await groups(spine)
    assert str(first["id"]) == group_of("noop", "KeyError", "no customer 1", TRACE)
    assert (first["task_type"], first["error_type"], first["message"]) == ("noop", "KeyError", "no customer <n>")
    # An attempt that another follows occurred, and no task failed for good by it.
    assert (first["occurrences"], first["tasks"], first["state"]) == (3, 2, "open")
    assert (str(first["example_task_id"]), first["example_message"]) == (retried, "no customer 9")
    assert first["example_traceback"] == TRACE
    assert [str(task) for task in first["recent_task_ids"]][:1] == [retried]
    assert (second["occurrences"], second["tasks"], str(second["example_task_id"])) == (1, 1, other)
    assert first["news_at"] == first["first_seen_at"] < first["last_seen_at"]
    counts = await spine.rows(
        "SELECT step_seconds, queue, sum(occurrences)::int AS occurrences, sum(tasks)::int AS tasks FROM error_count"
        " WHERE error_group = :id GROUP BY step_seconds, queue ORDER BY step_seconds",
        id=first["id"],
    )
    assert [row["step_seconds"] for row in counts] == [60, 3600, 86400]
    assert {(row["queue"], row["occurrences"], row["tasks"]) for row in counts} == {("maintenance", 3, 2)}
    assert await spine.rows("SELECT id FROM error_delta") == []
    async with spine.store.statement() as connection:
        row = await reading.task(connection, newest)
        waiting = await reading.task(connection, retried)
    assert row is not None
    assert waiting is not None
    assert row["error_group"] == waiting["error_group"] == first["id"]
    attempts = await spine.rows("SELECT error_group FROM task_attempt")
    assert sorted(str(row["error_group"]) for row in attempts) == sorted([str(first["id"])] * 3 + [str(second["id"])])


async def test_success_and_cancel_belong_to_no_group(spine: Spine) -> None:
    task = new_task()
    await spine.commits.join(task)
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message)
    await spine.record_all()
    await spine.run("UPDATE task_live SET cancel_requested_at = now(), cancel_grace_seconds = 5")
    await spine.report(message, verdict, "failed", error={"type": "ValueError", "message": "no", "traceback": ""})
    await fold(spine)
    (row,) = await spine.rows("SELECT state, error_type, error_group FROM task")
    assert row == {"state": "cancelled", "error_type": "ValueError", "error_group": None}
    assert await spine.rows("SELECT error_group FROM task_attempt") == [{"error_group": None}]
    assert await groups(spine) == []


async def test_a_task_that_is_run_again_belongs_to_no_group(spine: Spine) -> None:
    failed = await fail(spine)
    await spine.record_all()
    (group,) = await groups(spine)
    async with spine.store.transaction() as connection:
        new = new_task().id
        await replaying.replay(
            connection,
            [(failed, new)],
            states=frozenset({TaskState.FAILED}),
            queues=["maintenance"],
            replay_id=None,
            rate_per_second=None,
            caller=None,
            traceparent=None,
        )
        row = await reading.task(connection, new)
    assert row is not None
    assert row["error_group"] is None
    assert group["occurrences"] == 0


async def test_a_group_is_recorded_with_its_tasks_or_not_at_all(spine: Spine, monkeypatch: pytest.MonkeyPatch) -> None:
    await fail(spine)

    def dies(_: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(recorder, "reach", dies)
    with pytest.raises(ConnectionLost):
        await spine.recorder.single_pass()
    assert await spine.rows("SELECT id FROM task UNION ALL SELECT id FROM error_group") == []
    assert await spine.rows("SELECT id FROM error_delta") == []
    monkeypatch.undo()
    await fold(spine)
    (group,) = await groups(spine)
    assert (group["occurrences"], group["tasks"]) == (1, 1)


async def judge(spine: Spine, state: GroupState, limit: IgnoreLimit | None = None) -> None:
    (group,) = await groups(spine)
    async with spine.store.transaction() as connection:
        await judging.set_state(connection, group["id"], state, "ada", "why", limit)


async def test_a_resolved_one_that_fails_again_is_back_again(spine: Spine) -> None:
    await fail(spine)
    await fold(spine)
    late = await fail(spine)
    await judge(spine, GroupState.RESOLVED)
    # It ended before, and is recorded after.
    await fold(spine)
    (group,) = await groups(spine)
    assert (group["state"], group["news_at"], group["occurrences"]) == ("resolved", None, 2)
    assert str(group["example_task_id"]) == late
    await fail(spine)
    await fold(spine)
    (group,) = await groups(spine)
    assert (group["state"], group["came_back"], group["occurrences"]) == ("open", True, 3)
    assert group["news_at"] == group["changed_at"] == group["last_seen_at"]
    history = await spine.rows("SELECT before, after, actor, reason FROM error_group_change ORDER BY id")
    assert history == [
        {"before": "open", "after": "resolved", "actor": "ada", "reason": "why"},
        {"before": "resolved", "after": "open", "actor": "pointsman", "reason": "it failed this way again"},
    ]


@pytest.mark.parametrize("limit", [IgnoreLimit(count=2), IgnoreLimit(per_hour=3)])
async def test_an_ignored_one_is_open_once_its_limit_is_passed(spine: Spine, limit: IgnoreLimit) -> None:
    await fail(spine)
    await fold(spine)
    await judge(spine, GroupState.IGNORED, limit)
    for expected in ("ignored", "ignored", "open"):
        await fail(spine)
        await fold(spine)
        (group,) = await groups(spine)
        assert group["state"] == expected
    assert group["came_back"]


async def test_random_words_make_few_groups(spine: Spine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_bounds, "MOST_A_DAY", 3)
    words = ("ab", "cd", "ef", "gh", "ij", "ab", "kl")
    for word in words:
        await fail(spine, word)
        await spine.record_all()
    await fail(spine, "other type", task_type="other")
    await fold(spine)
    found = {group["message"]: group["occurrences"] for group in await groups(spine)}
    assert found == {"ab": 2, "cd": 1, "ef": 1, REST_MESSAGE: 3, "other type": 1}
    rows = await spine.rows("SELECT count(*) AS tasks FROM task WHERE error_group = :id", id=rest_of("noop"))
    assert rows == [{"tasks": 3}]


async def test_a_group_that_a_backup_does_not_have_is_begun_anew(spine: Spine) -> None:
    await fail(spine)
    await spine.record_all()
    (before,) = await spine.rows("SELECT stream, last_id FROM recorder_position")
    for _ in range(2):
        await fail(spine, "no stock")
        await fold(spine)
    assert [group["occurrences"] for group in await groups(spine)] == [1, 2]

    # As it was after the first failure.
    await spine.run("DELETE FROM error_group WHERE message = 'no stock'")
    await spine.run("DELETE FROM error_count")
    await spine.run("UPDATE recorder_position SET last_id = :last_id", last_id=before["last_id"])
    await fail(spine, "no stock")
    with pytest.raises(recorder.AnotherRecorder):
        await spine.record_all()
    await fold(spine)
    assert [(group["message"], group["occurrences"]) for group in await groups(spine)] == [
        ("no customer <n>", 1), ("no stock", 1),
    ]  # fmt: skip


GONE = "instance i-0abcd1234ef567890 is gone"


async def of_older_rules(spine: Spine, told: str, number: int) -> UUID:
    """A group of one failure, as a release with other rules for messages left it."""
    await fail(spine, GONE)
    await fold(spine)
    (group,) = [one for one in await groups(spine) if one["version"] == VERSION]
    older = UUID(int=number)
    await spine.run(
        "UPDATE error_group SET id = :older, version = 1, message = :told, first_seen_at = now() - interval '3 days',"
        " news_at = now() - interval '3 days' WHERE id = :id",
        older=older, told=told, id=group["id"],
    )  # fmt: skip
    spine.recorder._bounds.forget()
    return older


async def test_a_group_goes_on_when_its_failures_are_told_apart_otherwise(spine: Spine) -> None:
    older = await of_older_rules(spine, "instance i<n>abcd<n>ef<n> is gone", 1)
    await judge(spine, GroupState.IGNORED, IgnoreLimit(count=2))
    expected = ["ignored", "ignored", "open"]
    for number, state in enumerate(expected):
        await fail(spine, f"instance i-0f1e2d3c4b5a6978{number} is gone")
        await fold(spine)
        before, after = await groups(spine)
        assert (before["id"], before["state"], before["occurrences"]) == (older, "ignored", 1)
        assert (after["state"], after["occurrences"], after["set_by"]) == (state, number + 1, "ada")
        assert after["came_back"] is (state == "open")
        assert (after["news_at"] is None) is (state != "open"), "it is no news until it comes back"
    assert (after["version"], after["message"]) == (VERSION, "instance i-<n> is gone")
    assert after["first_seen_at"] == before["first_seen_at"]
    history = await spine.rows(
        "SELECT before, after, actor, reason FROM error_group_change WHERE error_group = :id ORDER BY id",
        id=after["id"],
    )
    assert [(row["before"], row["after"], row["actor"]) for row in history] == [
        ("open", "ignored", "ada"),
        ("ignored", "ignored", "pointsman"),
        ("ignored", "open", "pointsman"),
    ]
    assert str(older) in history[1]["reason"]


async def test_several_that_become_one_are_open_if_one_of_them_is(spine: Spine) -> None:
    first = await of_older_rules(spine, "instance i<n>a", 1)
    await judge(spine, GroupState.IGNORED)
    second = await of_older_rules(spine, "instance i<n>b", 2)
    await spine.run("UPDATE error_group SET state = 'open', set_at = NULL, news_at = NULL WHERE id = :id", id=second)
    await fail(spine, GONE)
    await fold(spine)
    by_id = {group["id"]: group for group in await groups(spine)}
    (found,) = by_id.keys() - {first, second}
    assert (by_id[found]["state"], by_id[found]["news_at"]) == ("open", None), "nobody is alerted"


async def test_a_group_whose_failures_are_told_as_before_is_the_same(spine: Spine) -> None:
    await fail(spine)
    await fold(spine)
    await spine.run("UPDATE error_group SET version = 1")
    await judge(spine, GroupState.IGNORED)
    spine.recorder._bounds.forget()
    await fail(spine)
    await fail(spine, "no stock")
    await fold(spine)
    same, new = await groups(spine)
    assert (same["state"], same["occurrences"], same["version"]) == ("ignored", 2, VERSION)
    assert (new["state"], new["news_at"]) == ("open", new["first_seen_at"])


async def test_no_group_goes_on_from_the_one_of_the_rest(spine: Spine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_bounds, "MOST_A_DAY", 0)
    await fail(spine, "ab")
    await fold(spine)
    await judge(spine, GroupState.IGNORED)
    await spine.run("UPDATE error_group SET version = 1")
    spine.recorder._bounds.forget()
    monkeypatch.undo()
    await fail(spine, "ab")
    await fold(spine)
    rest, own = await groups(spine)
    assert (rest["message"], rest["state"], rest["version"]) == (REST_MESSAGE, "ignored", VERSION)
    assert (own["message"], own["state"], own["news_at"]) == ("ab", "open", own["first_seen_at"])


async def test_groups_of_older_rules_take_no_room_of_new_ones(spine: Spine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_bounds, "MOST_A_DAY", 1)
    await fail(spine, "ab")
    await spine.record_all()
    await spine.run("UPDATE error_group SET version = 1, example_message = 'told otherwise'")
    await fail(spine, "cd")
    await fold(spine)
    assert [group["message"] for group in await groups(spine)] == ["ab", "cd"]


async def test_an_error_type_is_as_long_as_one_may_ask_for(spine: Spine) -> None:
    await fail(spine, kind="x" * 400)
    await fold(spine)
    (group,) = await groups(spine)
    assert group["error_type"] == "x" * 300
    assert await spine.rows("SELECT error_type FROM task") == [{"error_type": "x" * 300}]


async def test_two_who_note_the_same_causes_at_once_wait_for_nobody(spine: Spine) -> None:
    """A recorder and a sweep: each begins the groups of the other."""
    now = datetime.now(UTC)

    def ends(order: int) -> Ends:
        found = Ends()
        for kind in ("A", "B", "C")[::order]:
            group = group_of("noop", kind, "", "")
            task = new_task().id
            end = End(task, 1, "failed", now, now, "w", 0.1, None, kind, "", "", error_group=group)
            found.tasks.append(Ended(Moved(task, "noop", "maintenance", False, 1, None, None, "failed"), end))
        return found

    async def at_once(order: int) -> None:
        for _ in range(20):
            async with spine.store.transaction() as connection:
                await note(connection, ends(order))

    await asyncio.gather(at_once(1), at_once(-1))
    await fold(spine)
    assert [group["occurrences"] for group in await groups(spine)] == [40, 40, 40]
