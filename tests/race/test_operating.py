"""Races of what operators do with what goes on."""

from typing import Any
from uuid import UUID

from pointsman_contract import keys
from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.states import TaskState
from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.callers import LOCAL
from pointsman_service.errors import CountDiffers, TaskFinished, TaskReplayed
from pointsman_service.operate.cancel import Canceller
from pointsman_service.operate.pause import Pauser
from pointsman_service.operate.purge import Purger, PurgeRequest
from pointsman_service.operate.replay import Replayer, ReplayRequest
from pointsman_service.operate.retry import Retrier
from pointsman_service.operate.withdraw import Withdrawer
from pointsman_service.store.tasks.dead_letters import DeadLetterFilter
from pointsman_service.store.workers import catalogue
from tests.race.world import QUEUE, World

_TASKS = 4


def withdrawer(race: World) -> Withdrawer:
    return Withdrawer(race.spine.store, race.spine.server, race.spine.settings)


async def publish(race: World) -> str:
    """What the dispatcher does at its next pass."""
    return str(await race.spine.dispatcher.single_pass())


async def test_pause_against_publishing_and_the_gate(race: World) -> None:
    race.spine.window.shut()
    tasks = [await race.submit() for _ in range(_TASKS)]
    pauser = Pauser(race.spine.store, race.spine.broker, race.spine.settings)
    async with race.spine.recording():
        paused, *_ = await race.play(
            pauser.set_paused(LOCAL, QUEUE, paused=True, reason="race"),
            publish(race),
            publish(race),
            *(race.take_and_work() for _ in range(_TASKS)),
        )
        started = {task: list(attempts) for task, attempts in race.ran.items()}
        assert paused.told
        await race.spine.dispatcher.single_pass()
        while (word := await race.take_and_work()) is not None:
            assert word == "paused", "a task started though its queue was paused"
        assert race.ran == started
    await pauser.set_paused(LOCAL, QUEUE, paused=False, reason=None)
    await race.settle()
    assert await race.check() == dict.fromkeys(tasks, "succeeded")
    assert race.ran == {task: [1] for task in tasks}


async def test_purge_against_consuming(race: World) -> None:
    tasks = [await race.submit() for _ in range(_TASKS)]
    purger = Purger(race.spine.store, withdrawer(race), race.spine.settings)

    async def purge() -> bool:
        try:
            await purger.purge(LOCAL, QUEUE, PurgeRequest([TaskState.QUEUED], expected=_TASKS))
        except CountDiffers:
            return False
        return True

    async with race.spine.recording():
        purged, *_ = await race.play(purge(), *(race.take_and_work() for _ in range(_TASKS)))
    await race.settle()
    states = await race.check()
    assert states.keys() == set(tasks)
    for task in tasks:
        assert states[task] == ("succeeded" if task in race.ran else "cancelled")
    if not purged:
        assert set(states.values()) == {"succeeded"}, "a purge that was refused did something"


async def failed(race: World) -> str:
    """A dead letter."""
    async with race.spine.store.transaction() as connection:
        spec = TaskTypeSpec(name="noop", queue=QUEUE, time_limit_seconds=9)
        await catalogue.publish(connection, "w@h", [spec])
    task = await race.submit(max_attempts=1)
    assert await race.take_and_work("failed") == "run"
    await race.spine.record_all()
    return task


async def test_many_who_retry_one_task_run_it_again_once(race: World) -> None:
    old = await failed(race)

    async def retry() -> str | None:
        known = Catalogue(race.spine.store)
        try:
            row, _ = await Retrier(race.spine.store, known, race.spine.settings).retry(LOCAL, UUID(old), None, None)
        except TaskReplayed:
            return None
        return str(row["id"])

    async def replay() -> int:
        asked = ReplayRequest(DeadLetterFilter(), 10, None)
        result, _ = await Replayer(
            race.spine.store, withdrawer(race), Catalogue(race.spine.store), race.spine.settings
        ).replay(LOCAL, asked, None)
        return result.tasks

    *made, replayed = await race.play(*(retry() for _ in range(3)), replay())
    assert sum(new is not None for new in made) + replayed == 1
    await race.settle()
    states = await race.check()
    assert sorted(states.values()) == ["failed", "succeeded"]


async def test_cancel_of_a_running_task_never_hits_the_next(race: World) -> None:
    first, second = await race.submit(), await race.submit()
    asked: list[dict[bytes, bytes]] = []

    async def run_both() -> Any:
        words = [await race.take_and_work(), await race.take_and_work()]
        flat = await race.spine.server.command("HGETALL", keys.claim(second))
        asked.append(dict(zip(flat[::2], flat[1::2], strict=True)))
        return words

    async def cancel() -> None:
        try:
            await Canceller(race.spine.store, race.spine.server).cancel(LOCAL, UUID(first), 0.0)
        except TaskFinished:
            return

    async with race.spine.recording():
        await race.play(run_both(), cancel())
    await race.settle()
    states = await race.check()
    assert states[second] == "succeeded"
    assert not any(b"cancel" in name for name in asked[0]), "the next task was asked to end"
