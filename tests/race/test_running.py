"""Races for one task between those who run it, end it and send it again."""

import asyncio
from uuid import UUID

from pointsman_contract import keys
from pointsman_service.callers import LOCAL
from pointsman_service.dispatch.dispatcher import Dispatcher
from pointsman_service.errors import TaskFinished
from pointsman_service.operate.cancel import Canceller
from pointsman_service.reconcile.cancelled import CancelledSweep
from pointsman_service.reconcile.due import DueSweep
from pointsman_service.reconcile.expired import ExpiredSweep
from pointsman_service.reconcile.outbox import OutboxSweep
from pointsman_service.record.recorder import Recorder
from tests.race.world import World


async def cancel(race: World, task: str) -> str | None:
    """What the caller is told."""
    try:
        return str((await Canceller(race.spine.store, race.spine.server).cancel(LOCAL, UUID(task), 10.0)).row["state"])
    except TaskFinished:
        return None


async def test_cancel_against_claim_start_and_completion(race: World) -> None:
    task = await race.submit()
    message = await race.take()
    async with race.spine.recording():
        told, word = await race.play(cancel(race, task), race.work(message))
    await race.settle()
    state = (await race.check())[task]
    assert (state == "cancelled") == (word == "cancelled")
    assert (word == "run") == (task in race.ran)
    if told == "cancelled":
        assert word == "cancelled", "the caller was told that it would never run"


async def test_cancel_against_a_failing_attempt_and_the_next(race: World) -> None:
    task = await race.submit()
    async with race.spine.recording():
        await race.play(
            cancel(race, task),
            race.take_and_work("failed"),
            DueSweep(race.spine.store, race.spine.settings).single_pass(),
            race.spine.dispatcher.single_pass(),
            race.take_and_work(),
            CancelledSweep(race.spine.store, race.spine.server, race.spine.settings).single_pass(),
        )
    await race.settle()
    assert (await race.check())[task] in ("cancelled", "succeeded")


async def test_cancel_against_being_sent(race: World) -> None:
    race.spine.window.shut()
    task = await race.submit()
    async with race.spine.recording():
        told, *_ = await race.play(
            cancel(race, task), race.spine.dispatcher.single_pass(), race.take_and_work(), race.take_and_work()
        )
    await race.settle()
    state = (await race.check())[task]
    if told == "cancelled":
        assert (state, race.ran) == ("cancelled", {})


async def test_two_messages_of_one_task_run_it_once(race: World) -> None:
    task = await race.submit()
    message = await race.take()
    words = await race.play(race.work(message), race.work(message), race.work(message))
    assert sorted(words) == ["duplicate", "duplicate", "run"]
    await race.settle()
    await race.check()
    assert race.ran == {task: [1]}


async def test_sending_again_against_being_consumed(race: World) -> None:
    task = await race.submit()
    await race.spine.run(
        "INSERT INTO outbox (task_ids, created_at) SELECT array_agg(id), now() - interval '1 minute' FROM task_live"
    )
    async with race.spine.recording():
        await race.play(
            OutboxSweep(race.spine.store, race.spine.settings).single_pass(),
            race.take_and_work(),
            race.spine.dispatcher.single_pass(),
            race.take_and_work(),
        )
    await race.settle()
    await race.check()
    assert race.ran == {task: [1]}


async def test_expiry_against_the_gate(race: World) -> None:
    task = await race.submit()
    await race.spine.run("UPDATE task_live SET expires_at = now()")
    message = await race.take()
    async with race.spine.recording():
        _, word = await race.play(
            ExpiredSweep(race.spine.store, race.spine.server, race.spine.settings).single_pass(), race.work(message)
        )
    await race.settle()
    state = (await race.check())[task]
    assert (state == "expired") == (word == "expired")


async def test_one_tick_of_many_sweeps_and_dispatchers_sends_each_task_once(race: World) -> None:
    tasks = [await race.submit(delay_seconds=3600.0) for _ in range(20)]
    await race.spine.run("UPDATE task_live SET due_at = now()")
    spine = race.spine
    dispatchers = [Dispatcher(spine.store, spine.broker, spine.publisher, spine.settings) for _ in range(3)]
    await race.play(
        *(DueSweep(spine.store, spine.settings).single_pass() for _ in range(3)),
        *(dispatcher.single_pass() for dispatcher in dispatchers),
    )
    rows = await spine.rows("SELECT max(dispatch) AS most FROM task_live")
    assert rows[0]["most"] <= 1
    await race.settle()
    assert len(await race.check()) == len(tasks)
    assert race.ran == {task: [1] for task in tasks}


async def test_a_late_failure_against_success_of_the_next_attempt(race: World) -> None:
    task = await race.submit()
    first = await race.take()
    assert first is not None
    verdict = await race.spine.gate(first, "slow")
    race.ran[task] = [1]
    await race.spine.record_all()
    # Rescued meanwhile: the claim is released, the row waits for its next attempt.
    await race.spine.server.command("HSET", keys.claim(task), "state", "released", "token", "")
    await race.spine.run("UPDATE task_live SET state = 'queued', place = 'waiting'")
    await race.spine.dispatcher.single_pass()
    async with race.spine.recording():
        await race.play(
            race.spine.report(first, verdict, "failed", "slow", error={"type": "E", "message": "", "traceback": ""}),
            race.take_and_work(),
        )
    await race.settle()
    assert (await race.check())[task] == "succeeded"
    assert race.ran == {task: [1, 2]}


async def test_two_recorders_of_one_stream_record_everything_once(race: World) -> None:
    tasks = [await race.submit() for _ in range(5)]
    while await race.take_and_work():
        pass
    spine = race.spine
    frozen = Recorder(spine.store, spine.server, spine.settings)
    assert await frozen._knows_where()
    _, entries, _ = await frozen._read()
    assert entries
    await asyncio.gather(frozen._record(entries), spine.record_all(), return_exceptions=True)
    await race.settle()
    states = await race.check()
    assert states == dict.fromkeys(tasks, "succeeded")
