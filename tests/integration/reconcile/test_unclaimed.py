"""Tasks that are sent and that nobody begins: an end comes to it, and innocent causes spend no attempt."""

import json

import pytest

from pointsman_contract.queues import list_key
from pointsman_service.reconcile.lost import LostSweep
from pointsman_service.reconcile.unclaimed import UnclaimedSweep
from pointsman_service.store.tasks import reading
from tests.integration.reconcile.judge import Judge, beat
from tests.integration.reconcile.test_lost import age, fetch
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)


@pytest.fixture
async def judge(spine: Spine) -> Judge:
    judge = Judge(spine)
    await beat(spine, "w#1", 1, 1)
    await judge.look()
    return judge


@pytest.fixture
async def lost(spine: Spine, judge: Judge) -> LostSweep:
    sweep = LostSweep(spine.store, spine.broker, spine.server, judge, spine.settings)
    await sweep.single_pass()
    return sweep


@pytest.fixture
async def unclaimed(spine: Spine, judge: Judge) -> UnclaimedSweep:
    return UnclaimedSweep(spine.store, spine.server, judge, spine.settings)


async def submitted(spine: Spine, **changes: object) -> str:
    task = new_task(**changes)
    await spine.commits.join(task)
    await spine.commits.drain()
    return task.id


async def state(spine: Spine) -> tuple[str, int, str | None]:
    (row,) = await spine.rows("SELECT state, attempt, held_reason FROM task_live")
    return row["state"], row["attempt"], row["held_reason"]


async def lose(spine: Spine, task: str, lost: LostSweep) -> None:
    """Its message is taken and nobody says anything; some seconds later it is looked for."""
    await spine.dispatcher.single_pass()
    assert await spine.message(MAINTENANCE) is not None
    await age(spine, task, 10.0)
    await lost.single_pass()


async def refuse(spine: Spine, task: str, reason: str) -> None:
    """A worker takes its message and says why nobody claims it."""
    await spine.dispatcher.single_pass()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    body = json.loads(spine.body(message))
    await spine.append("unclaimed", task, **body, reason=reason)
    await spine.record_all()


async def test_a_message_that_vanishes_again_and_again_fails_an_attempt_and_then_the_task(
    spine: Spine, lost: LostSweep, unclaimed: UnclaimedSweep
) -> None:
    task = await submitted(spine, max_attempts=2)
    for sending in (1, 2, 3):
        assert await state(spine) == ("queued", 0, None), sending
        await lose(spine, task, lost)
    assert await state(spine) == ("held", 0, "unclaimed")
    await unclaimed.single_pass()
    assert await state(spine) == ("retrying", 1, None)
    async with spine.store.statement() as connection:
        row = await reading.task(connection, task)
    assert row is not None
    assert row["error_type"] == "NotClaimed"
    assert "no worker said what became of it" in row["error_message"]
    await spine.run("UPDATE task_live SET state = 'queued', place = 'waiting'")
    for _ in range(3):
        await lose(spine, task, lost)
    await unclaimed.single_pass()
    (ended,) = await spine.rows("SELECT state, attempt, error_type, sla_met, started_at FROM task")
    assert ended == {
        "state": "failed", "attempt": 2, "error_type": "NotClaimed", "sla_met": False, "started_at": None,
    }  # fmt: skip
    assert await spine.counters() == {"submitted": 1, "executions": 2, "retried": 1, "failed": 1, "sla_missed": 1}
    assert [row["attempt"] for row in await spine.rows("SELECT attempt FROM task_attempt ORDER BY 1")] == [1, 2]


async def test_what_a_worker_says_of_it_is_the_error_that_is_shown(spine: Spine, unclaimed: UnclaimedSweep) -> None:
    task = await submitted(spine)
    for _ in range(3):
        await refuse(spine, task, "SlotsFull: all 20 slots are taken")
    await unclaimed.single_pass()
    (ended,) = await spine.rows("SELECT state, error_type, error_message FROM task")
    assert (ended["state"], ended["error_type"]) == ("failed", "NotClaimed")
    assert "SlotsFull: all 20 slots are taken" in ended["error_message"]


async def test_an_attempt_that_begins_clears_what_was_in_vain_before(spine: Spine, lost: LostSweep) -> None:
    task = await submitted(spine)
    for _ in range(2):
        await lose(spine, task, lost)
    await spine.dispatcher.single_pass()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    await spine.gate(message)
    await spine.record_all()
    assert await spine.rows("SELECT state, unclaimed FROM task_live") == [{"state": "running", "unclaimed": 0.0}]


async def test_an_old_message_does_not_run_after_its_attempt_was_spent(
    spine: Spine, lost: LostSweep, unclaimed: UnclaimedSweep
) -> None:
    task = await submitted(spine, max_attempts=2)
    await spine.dispatcher.single_pass()
    old = await spine.message(MAINTENANCE)
    assert old is not None
    await age(spine, task, 10.0)
    await lost.single_pass()
    for _ in range(2):
        await lose(spine, task, lost)
    await unclaimed.single_pass()
    assert await spine.gate(old) == [b"duplicate"]


async def test_an_old_message_that_is_claimed_at_last_runs(
    spine: Spine, lost: LostSweep, unclaimed: UnclaimedSweep
) -> None:
    task = await submitted(spine)
    await spine.dispatcher.single_pass()
    old = await spine.message(MAINTENANCE)
    assert old is not None
    await age(spine, task, 10.0)
    await lost.single_pass()
    for _ in range(2):
        await lose(spine, task, lost)
    assert (await spine.gate(old))[0] == b"run"
    async with spine.recording():
        await unclaimed.single_pass()
    await spine.record_all()
    assert await state(spine) == ("running", 1, None)


async def test_the_deaths_of_nodes_spend_no_attempt_and_yet_have_an_end(
    spine: Spine, judge: Judge, lost: LostSweep
) -> None:
    task = await submitted(spine)
    for death in range(30):
        assert await state(spine) == ("queued", 0, None), death
        await beat(spine, f"w#{death}", 1, 1)
        await judge.look()
        await spine.dispatcher.single_pass()
        await fetch(spine, death + 1)
        await age(spine, task, 10.0)
        await lost.single_pass()
        await spine.server.command("DEL", "pointsman:beats")
        await judge.look()
        await lost.single_pass()
    assert await state(spine) == ("held", 0, "unclaimed")


async def test_what_was_lost_with_the_data_of_redis_does_not_count(spine: Spine, lost: LostSweep) -> None:
    await submitted(spine)
    for _ in range(5):
        await spine.dispatcher.single_pass()
        await spine.message(MAINTENANCE)
        await spine.run("UPDATE task_live SET sent_epoch = 0, sent_at = now() - interval '10 seconds'")
        await lost.single_pass()
    assert await spine.rows("SELECT place, unclaimed FROM task_live") == [{"place": "waiting", "unclaimed": 0.0}]


async def test_what_a_pause_or_a_breaker_turns_away_does_not_count(spine: Spine, unclaimed: UnclaimedSweep) -> None:
    await submitted(spine)
    for kind in ("ask", "ask", "ask", "held"):
        await spine.dispatcher.single_pass()
        message = await spine.message(MAINTENANCE)
        assert message is not None
        more = {"breaker": "task_type:noop"} if kind == "held" else {}
        fields = [part for pair in more.items() for part in pair]
        await _append(spine, kind, message, fields)
        await spine.record_all()
        await unclaimed.single_pass()
    rows = await spine.rows("SELECT attempt, unclaimed, held_reason FROM task_live")
    assert rows == [{"attempt": 0, "unclaimed": 0.0, "held_reason": "breaker:task_type:noop"}]


async def _append(spine: Spine, kind: str, message: dict[str, object], fields: list[str]) -> None:
    headers = message["headers"]
    assert isinstance(headers, dict)
    words = ["kind", kind, "task", headers["id"], "attempt", 0, "at", "TIME", "late", "0", "body", spine.body(message)]
    seconds, micros = await spine.server.command("TIME")
    words[words.index("TIME")] = f"{int(seconds)}.{int(micros):06d}"
    epoch = await spine.server.command("HGET", "pointsman:control", "epoch")
    await spine.server.command("XADD", f"pointsman:events:{int(epoch)}", "*", *words, *fields)
