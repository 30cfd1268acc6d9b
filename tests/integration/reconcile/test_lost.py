"""Messages that never arrive: faults.md row 4, and what a dead worker had fetched."""

import json
from typing import Any

import pytest

from pointsman_contract.message import delivery_tag
from pointsman_contract.queues import UNACKED, UNACKED_INDEX, list_key
from pointsman_service.claims.rescue import Rescuer
from pointsman_service.reconcile.lost import LostSweep
from pointsman_service.reconcile.unacked import UnackedSweep
from pointsman_service.store.lost.rescuing import Running
from tests.integration.reconcile.judge import Judge, beat
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)


async def sent(spine: Spine, seconds_ago: float = 10.0) -> str:
    """A task that was sent so long ago."""
    task = new_task()
    await spine.commits.join(task)
    await spine.commits.drain()
    await age(spine, task.id, seconds_ago)
    return task.id


async def age(spine: Spine, task: str, seconds: float) -> None:
    ago = "now() - CAST(:age AS float8) * interval '1 second'"
    await spine.run(f"UPDATE task_live SET sent_at = {ago} WHERE id = CAST(:id AS uuid)", age=seconds, id=task)


async def fetch(spine: Spine, dispatch: int = 1) -> dict[str, Any]:
    """Take the next message as kombu does: it is in ``unacked`` until it is acknowledged."""
    message = await spine.message(MAINTENANCE)
    assert message is not None
    tag = delivery_tag(message["headers"]["id"], dispatch)
    await spine.server.command("HSET", UNACKED, tag, json.dumps([message, "", "maintenance"]))
    await spine.server.command("ZADD", UNACKED_INDEX, 1, tag)
    return message


async def places(spine: Spine) -> dict[str, str]:
    return {row["id"]: row["place"] for row in await spine.rows("SELECT id::text, place FROM task_live")}


@pytest.fixture
async def judge(spine: Spine) -> Judge:
    judge = Judge(spine)
    await beat(spine, "w#1", 1, 1)
    await judge.look()
    return judge


@pytest.fixture
async def sweep(spine: Spine, judge: Judge) -> LostSweep:
    """Has looked once, as a sweep that has been running."""
    sweep = LostSweep(spine.store, spine.broker, spine.server, judge, spine.settings)
    await sweep.single_pass()
    return sweep


async def test_a_message_popped_and_never_written_down_is_sent_again(spine: Spine, sweep: LostSweep) -> None:
    task = await sent(spine)
    assert await spine.message(MAINTENANCE) is not None
    await sweep.single_pass()
    assert await places(spine) == {task: "waiting"}
    await spine.dispatcher.single_pass()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    assert message["headers"]["pointsman"]["dispatch"] == 2
    assert (await spine.gate(message))[:2] == [b"run", 1]


async def test_a_message_sent_a_moment_ago_may_still_be_on_its_way(spine: Spine, sweep: LostSweep) -> None:
    task = await sent(spine, 4.0)
    assert await spine.message(MAINTENANCE) is not None
    await sweep.single_pass()
    assert await places(spine) == {task: "sent"}


async def test_what_waits_in_its_list_is_not_lost_however_old_it_is(spine: Spine, sweep: LostSweep) -> None:
    tasks = [await sent(spine) for _ in range(3)]
    for _ in tasks:
        message = await spine.message(MAINTENANCE)
        assert message is not None
        message["headers"]["pointsman"]["sent_at"] -= 60
        await spine.server.command("LPUSH", MAINTENANCE, json.dumps(message))
    await sweep.single_pass()
    assert await places(spine) == dict.fromkeys(tasks, "sent")


async def test_a_lost_message_is_found_though_its_list_is_never_empty(spine: Spine, sweep: LostSweep) -> None:
    lost, waiting = await sent(spine), await sent(spine, 0.0)
    message = await spine.message(MAINTENANCE)
    assert message is not None
    assert message["headers"]["id"] == lost
    await sweep.single_pass()
    assert await places(spine) == {lost: "waiting", waiting: "sent"}


async def test_a_list_of_plain_messages_says_nothing(spine: Spine, sweep: LostSweep) -> None:
    task = await sent(spine)
    await spine.message(MAINTENANCE)
    await spine.server.command("LPUSH", MAINTENANCE, json.dumps({"headers": {}, "body": ""}))
    await sweep.single_pass()
    assert await places(spine) == {task: "sent"}
    await spine.server.command("DEL", MAINTENANCE)
    await sweep.single_pass()
    assert await places(spine) == {task: "waiting"}


async def test_a_message_given_back_by_kombu_is_read_too(spine: Spine, sweep: LostSweep) -> None:
    lost = await sent(spine)
    await spine.message(MAINTENANCE)
    back = await sent(spine, 0.0)
    message = await spine.message(MAINTENANCE)
    await spine.server.command("RPUSH", MAINTENANCE, json.dumps(message))
    await sweep.single_pass()
    assert await places(spine) == {lost: "waiting", back: "sent"}


async def test_what_a_living_worker_fetched_stays(spine: Spine, sweep: LostSweep) -> None:
    task = await sent(spine)
    await fetch(spine)
    await sweep.single_pass()
    assert await places(spine) == {task: "sent"}


async def test_what_a_dead_worker_had_fetched_is_sent_again_once_and_forgotten_by_kombu(
    spine: Spine, judge: Judge, sweep: LostSweep
) -> None:
    task = await sent(spine)
    await fetch(spine)
    await judge.watch(10)
    await sweep.single_pass()
    assert await places(spine) == {task: "waiting"}
    assert await spine.server.command("HLEN", UNACKED) == 0
    assert await spine.server.command("ZCARD", UNACKED_INDEX) == 0
    await spine.dispatcher.single_pass()
    await fetch(spine, 2)
    await sweep.single_pass()
    assert await places(spine) == {task: "sent"}, "somebody else fetched it"


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"queues": ["email", "maintenance"]}, "waiting"),
        ({"queues": ["email"], "left": ["maintenance"]}, "waiting"),
        ({"queues": ["email"]}, "sent"),
    ],
)
async def test_what_a_dead_worker_may_have_fetched_is_judged_by_the_queues_it_had_in_hand_last(
    spine: Spine, judge: Judge, sweep: LostSweep, said: dict[str, list[str]], place: str
) -> None:
    task = await sent(spine)
    await fetch(spine)
    await beat(spine, "w#1", 1, 2, **said)
    await judge.watch(11)
    await sweep.single_pass()
    assert await places(spine) == {task: place}


async def test_what_a_living_worker_says_it_holds_is_not_sent_again_when_another_dies(
    spine: Spine, judge: Judge, sweep: LostSweep
) -> None:
    task = await sent(spine)
    await fetch(spine)
    for counter in range(1, 14):
        await beat(spine, "w#2", 1, counter, reserved=[delivery_tag(task, 1)])
        await judge.watch(1)
    await sweep.single_pass()
    assert await places(spine) == {task: "sent"}


async def test_what_a_worker_left_behind_that_took_its_beat_away_is_sent_again(
    spine: Spine, judge: Judge, sweep: LostSweep
) -> None:
    task = await sent(spine)
    await fetch(spine)
    await spine.server.command("DEL", "pointsman:beats")
    await judge.look()
    await sweep.single_pass()
    assert await places(spine) == {task: "waiting"}


async def test_fetched_messages_whose_sending_is_over_are_forgotten_by_kombu(spine: Spine) -> None:
    """Killed after the outcome, before the acknowledgement: faults.md row 8; or while it ran, and rescued since."""
    ended, again, running = [await sent(spine) for _ in range(3)]
    for task in (ended, again, running):
        message = await fetch(spine)
        verdict = await spine.gate(message, token=task)
        if task == ended:
            await spine.report(message, verdict, token=task)
    await spine.record_all()
    await Rescuer(spine.store, spine.server).rescue([Running(again, 1, "w@h")], 1)
    foreign = "6b0bdc9b-0f52-4f3c-8d8f-0e7c7a9a4c11"
    await spine.server.command("ZADD", UNACKED_INDEX, 1, foreign)
    await UnackedSweep(spine.store, spine.broker).single_pass()
    left = await spine.server.command("ZRANGE", UNACKED_INDEX, 0, -1)
    assert sorted(left) == sorted([foreign.encode(), delivery_tag(running, 1).encode()])
    assert await spine.server.command("HKEYS", UNACKED) == [delivery_tag(running, 1).encode()]


async def test_a_task_whose_start_is_not_recorded_yet_is_left_to_the_recorder(spine: Spine, sweep: LostSweep) -> None:
    task = await sent(spine)
    message = await spine.message(MAINTENANCE)
    assert message is not None
    await spine.gate(message)
    await sweep.single_pass()
    assert await places(spine) == {task: "sent"}
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task_live") == [{"state": "running"}]


async def test_no_look_passes_over_what_ended_long_ago(spine: Spine, sweep: LostSweep) -> None:
    """An open transaction keeps its index entries: only now and then everything is looked at."""
    task = await sent(spine, 60.0)
    await spine.message(MAINTENANCE)
    await sweep.single_pass()
    assert await places(spine) == {task: "sent"}
    sweep._lists._from_the_start_at = 0.0
    await sweep.single_pass()
    assert await places(spine) == {task: "waiting"}


async def test_what_an_earlier_epoch_left_behind_is_sent_again(spine: Spine, sweep: LostSweep) -> None:
    task = await sent(spine)
    await spine.message(MAINTENANCE)
    await spine.run("UPDATE task_live SET sent_epoch = 0")
    await sweep.single_pass()
    assert await places(spine) == {task: "waiting"}


async def test_a_message_sent_twice_runs_once(spine: Spine, judge: Judge, sweep: LostSweep) -> None:
    """The worker was only cut off: it still holds what was sent again."""
    await sent(spine)
    first = await fetch(spine)
    await judge.watch(10)
    await sweep.single_pass()
    await spine.dispatcher.single_pass()
    second = await spine.message(MAINTENANCE)
    assert second is not None
    assert (await spine.gate(first, token="1"))[0] == b"run"
    assert await spine.gate(second, token="2") == [b"duplicate"]
