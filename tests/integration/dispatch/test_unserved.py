"""Tasks of a type that no living worker of their queue knows: never sent, held with their reason, and let go."""

from typing import Any

import pytest
from sqlalchemy import text

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.alert.lookout import Lookout
from pointsman_service.alert.rules import judge
from pointsman_service.alert.sweep import limits_of
from pointsman_service.dispatch.dispatcher import Dispatcher
from pointsman_service.dispatch.publisher import Publisher
from pointsman_service.reconcile.held import HeldSweep
from pointsman_service.store.queues import unserved
from pointsman_service.store.workers import catalogue
from pointsman_service.submit.group_commit import GroupCommit
from tests.integration.spine import Spine, new_task

HELD = ("held", "unknown_task_type", 0, 0)


async def node(spine: Spine, owner: str, *types: str, queue: str = "maintenance", published: bool = True) -> None:
    """A worker parent lives, takes from a queue and has published these types."""
    await spine.run(
        "INSERT INTO worker (owner, name, pool, queues, processes, pid, host, contract, started_at)"
        " VALUES (:owner, :name, 'p', ARRAY[CAST(:queue AS text)], 2, 7, 'h', 1, now())",
        owner=owner,
        name=f"{owner}@h",
        queue=queue,
    )
    if published:
        async with spine.store.transaction() as connection:
            await catalogue.publish(
                connection, owner, [TaskTypeSpec(name=name, time_limit_seconds=9) for name in types]
            )


async def waits(spine: Spine, *types: str) -> None:
    """A task of each type waits in PostgreSQL."""
    spine.window.shut()
    for name in types:
        await spine.commits.join(new_task(task_type=name))
    await spine.commits.drain()


async def held(spine: Spine, tasks: int, reason: str = "'unknown_task_type'", queue: str = "maintenance") -> None:
    """So many tasks of the type ``strange`` are held."""
    await spine.run(
        "INSERT INTO task_live (id, state, place, task_type, queue, priority, sla_seconds, timeout_seconds, due_at,"
        " caller, args, kwargs, held_at, held_reason) SELECT gen_random_uuid(), 'held', 'held', 'strange', :queue, 3,"
        f" 300, 300, now(), 'local', '[]', '{{}}', now(), {reason} FROM generate_series(1, {tasks}) n",
        queue=queue,
    )


async def stands(spine: Spine) -> dict[str, tuple[Any, ...]]:
    rows = await spine.rows("SELECT task_type, state, held_reason, dispatch, attempt FROM task_live")
    return {row["task_type"]: tuple(row.values())[1:] for row in rows}


def dispatcher(spine: Spine) -> Dispatcher:
    return Dispatcher(spine.store, spine.broker, Publisher(spine.broker), spine.settings)


async def messages(spine: Spine) -> int:
    return (await spine.broker.depths()).queues["maintenance"].messages


async def test_task_of_a_type_that_no_living_node_publishes_is_held_and_others_are_sent(spine: Spine) -> None:
    await node(spine, "a", "known")
    await waits(spine, "strange", "known")
    assert await dispatcher(spine).single_pass(), "there may be more behind what is held"
    found = await stands(spine)
    assert found["strange"] == HELD, "it spent no attempt and no sending"
    assert found["known"] == ("queued", None, 1, 0)
    assert await messages(spine) == 1
    assert await spine.rows("SELECT id FROM outbox") == []


@pytest.mark.parametrize("known", ["nobody lives", "one has not published", "the beat is old", "just joining"])
async def test_what_is_not_known_changes_nothing(spine: Spine, known: str) -> None:
    if known != "nobody lives":
        await node(spine, "a", "other")
    if known == "one has not published":
        await node(spine, "b", published=False)
    elif known == "the beat is old":
        await spine.run("UPDATE worker SET last_seen_at = now() - interval '1 minute'")
    elif known == "just joining":
        await node(spine, "new", "strange")
        await spine.run("DELETE FROM worker WHERE owner = 'new'")
    await waits(spine, "strange")
    await dispatcher(spine).single_pass()
    assert (await stands(spine))["strange"] == ("queued", None, 1, 0)
    assert await messages(spine) == 1


async def test_submission_of_such_a_type_is_left_to_the_dispatcher(spine: Spine) -> None:
    await node(spine, "a", "known")
    commits = GroupCommit(spine.store, Publisher(spine.broker), spine.window, spine.settings)
    await commits.serving.single_pass()
    await spine.window.refresh()
    for name in ("strange", "known"):
        await commits.join(new_task(task_type=name))
    await commits.drain()
    rows = await spine.rows("SELECT task_type, place FROM task_live")
    assert {row["task_type"]: row["place"] for row in rows} == {"strange": "waiting", "known": "sent"}


async def test_held_tasks_stay_until_a_node_publishes_their_type_and_then_all_go_at_once(spine: Spine) -> None:
    await node(spine, "a", "known")
    await held(spine, 1200)
    sweep = HeldSweep(spine.store, spine.settings)
    for _ in range(3):
        assert not await sweep.single_pass()
    assert set((await stands(spine)).values()) == {HELD}
    await node(spine, "b", "strange")
    passes = 1
    while await sweep.single_pass():
        passes += 1
    assert passes == 3
    assert await spine.rows("SELECT id FROM task_live WHERE place = 'held'") == []


async def test_task_that_a_worker_did_not_know_tries_again_only_every_ten_seconds_where_another_knows_it(
    spine: Spine,
) -> None:
    await node(spine, "old", "known")
    await node(spine, "new", "known", "strange")
    sweep = HeldSweep(spine.store, spine.settings)
    for released in (True, False):
        await waits(spine, "strange")
        await spine.run("UPDATE task_live SET place = 'held', state = 'held', held_at = now(), held_reason ="
                        " 'unknown_task_type'")  # fmt: skip
        await sweep.single_pass()
        assert ((await spine.rows("SELECT id FROM task_live WHERE place = 'held'")) == []) is released


async def test_who_died_before_it_held_them_leaves_tasks_in_the_outbox(
    spine: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node(spine, "a", "known")
    await waits(spine, "strange")

    async def dies(*_: Any) -> int:
        raise RuntimeError("killed")

    monkeypatch.setattr("pointsman_service.dispatch.dispatcher.hold_unpublished", dies)
    with pytest.raises(RuntimeError):
        await dispatcher(spine).single_pass()
    assert (await stands(spine))["strange"] == ("queued", None, 1, 0)
    assert len(await spine.rows("SELECT id FROM outbox")) == 1


async def test_alert_names_the_type_its_queue_and_the_nodes(spine: Spine) -> None:
    await node(spine, "a", "known")
    await node(spine, "b", "known")
    await waits(spine, "strange", "known")
    await dispatcher(spine).single_pass()
    facts = await Lookout(spine.store, spine.broker, spine.server, spine.settings).look()
    found = [one for one in judge(facts, limits_of(spine.settings)).conditions if one.rule == "unknown_task_type"]
    assert [(one.subject, one.value) for one in found] == [("strange@maintenance", 1)]
    assert found[0].summary == (
        "1 task is held on queue maintenance: no living worker of it knows the task type strange. Of those that take"
        " from it (a@h, b@h) none knows the type."
    )


async def test_places_of_held_tasks_are_found_without_reading_all_of_them(spine: Spine) -> None:
    await held(spine, 4000, "CASE n % 3 WHEN 0 THEN 'breaker:dependency:a' ELSE 'unknown_task_type' END", "email")
    await spine.run("ANALYZE task_live")
    async with spine.store.statement() as connection:
        found = await unserved.held_places(connection, unserved.MOST_COUNTED)
        assert [(one.task_type, one.queue, one.tasks) for one in found] == [
            ("strange", "email", 1000)
        ]  # fmt: skip
        parameters = {"reason": unserved.UNKNOWN_TASK_TYPE, "most": 200, "counted": 1000}
        explained = await connection.execute(text(f"EXPLAIN {unserved._HELD_PLACES.text}"), parameters)
        plan = "\n".join(explained.scalars())
    assert "Seq Scan" not in plan, plan
    assert plan.count("ix_task_live_held_type") == 3, plan
