"""Counters under concurrent writers."""

import asyncio

from pointsman_service.record.rollup import Rollup
from pointsman_service.submit.group_commit import GroupCommit
from tests.integration.spine import new_task
from tests.race.world import World

_BATCHES = 8
_TASKS = 10


async def test_concurrent_batches_and_folding_lose_no_count(race: World) -> None:
    spine = race.spine
    processes = [GroupCommit(spine.store, spine.publisher, spine.window, spine.settings) for _ in range(3)]
    folders = [Rollup(spine.store, spine.settings) for _ in range(3)]

    async def write(process: GroupCommit) -> int:
        types = [race.random.choice(["one", "two", "three"]) for _ in range(_TASKS)]
        answers = await process.write_batch([new_task(task_type=name) for name in types])
        return len(answers)

    written = await race.play(
        *(write(race.random.choice(processes)) for _ in range(_BATCHES)), *(folder.single_pass() for folder in folders)
    )
    assert sum(written[:_BATCHES]) == _BATCHES * _TASKS
    for process in processes:
        await process.drain()
    assert (await spine.counters())["submitted"] == _BATCHES * _TASKS
    await race.settle()
    async with asyncio.TaskGroup() as group:
        for folder in folders:
            group.create_task(folder.single_pass())
    states = await race.check()
    assert len(states) == _BATCHES * _TASKS
