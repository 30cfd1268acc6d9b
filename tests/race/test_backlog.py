"""What is kept of the backlog, while everybody moves tasks and others fold and count."""

from pointsman_service.reconcile.due import DueSweep
from pointsman_service.record.backlog import BacklogRollup
from pointsman_service.record.rollup import Rollup
from pointsman_service.store.queues import backlog
from tests.integration.spine import new_task
from tests.race.world import World

_TASKS = 12


async def test_the_backlog_is_what_there_is_at_any_moment_of_many_moves(race: World) -> None:
    spine = race.spine
    drawn = race.random

    async def submit() -> None:
        changes = [drawn.choice([{}, {"delay_seconds": 0.01}, {"delay_seconds": 60.0}]) for _ in range(_TASKS)]
        await spine.commits.write_batch([new_task(max_attempts=2, **change) for change in changes])

    async def work() -> None:
        for _ in range(_TASKS // 2):
            await race.take_and_work(drawn.choice(["succeeded", "failed"]))

    async def count() -> list[backlog.Mended]:
        async with spine.store.transaction() as connection:
            return await backlog.mend(connection)

    folders = [kind(spine.store, spine.settings) for kind in (BacklogRollup, Rollup, BacklogRollup, Rollup)]
    counted = [count() for _ in range(3)]
    await submit()
    answers = await race.play(
        *counted, submit(), submit(), work(), work(), spine.dispatcher.single_pass(), spine.recorder.single_pass(),
        DueSweep(spine.store, spine.settings).single_pass(), *(folder.single_pass() for folder in folders),
    )  # fmt: skip
    assert answers[: len(counted)] == [[], [], []]
    await spine.run("UPDATE task_live SET due_at = now() WHERE place = 'asleep'")
    await race.settle()
    await race.check()
