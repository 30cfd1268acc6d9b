"""How many tasks go before one that waits, where callers take turns."""

from uuid import UUID

import pytest

from pointsman_service.callers import CONSOLE
from pointsman_service.observe.tasks.task import task_of
from pointsman_service.observe.tasks.waiting import ahead_of, ahead_of_new
from pointsman_service.operate.handle_keys import KeyHand, WantedKey
from pointsman_service.store.queues.shares import Share
from pointsman_service.store.tasks import explaining, reading, submitting
from tests.integration.spine import Spine, new_task


async def submit(spine: Spine, tasks: int, caller: str, key: str = "", priority: int = 3) -> list[str]:
    made = [new_task(caller=caller, fairness_key=key, priority=priority) for _ in range(tasks)]
    spine.window.shut()
    await spine.commits.write_batch(made)
    return [task.id for task in made]


async def before(spine: Spine, task_id: str, **weights: float) -> tuple[int, bool]:
    async with spine.store.statement() as connection:
        row = await reading.task(connection, task_id)
        live = await explaining.live(connection, UUID(task_id))
    assert row is not None
    assert live is not None
    return await ahead_of(spine.store, task_of(row), live, weights)


async def test_alone_all_that_is_due_before_goes_before(closed_spine: Spine) -> None:
    ids = await submit(closed_spine, 50, "many", "a")
    await submit(closed_spine, 4, "few", priority=2)
    assert await before(closed_spine, ids[49]) == (49, False)


async def test_of_others_as_many_go_before_as_have_their_turn_meanwhile(closed_spine: Spine) -> None:
    many = await submit(closed_spine, 300, "many")
    few = await submit(closed_spine, 10, "few")
    await submit(closed_spine, 7, "few", priority=9)
    assert await before(closed_spine, few[2]) == (7 + 2 + 3, False)
    assert await before(closed_spine, few[2], few=0.5) == (7 + 2 + 6, False)
    assert await before(closed_spine, many[100]) == (7 + 100 + 10, False)
    await KeyHand(closed_spine.store).create(CONSOLE, WantedKey("few", preset="submitter", weight=0.25), None)
    assert await before(closed_spine, few[2], few=0.5) == (7 + 2 + 12, False)


async def test_the_keys_of_a_caller_take_turns_within_it(closed_spine: Spine) -> None:
    await submit(closed_spine, 100, "one", "big")
    mine = await submit(closed_spine, 5, "one", "mine")
    await submit(closed_spine, 100, "two")
    assert await before(closed_spine, mine[1]) == (1 + 2 + 4, False)


async def alone(spine: Spine) -> list[str]:
    """Three hundred of one share, the last hundred of which wait alone."""
    ids = await submit(spine, 200, "many", "a")
    rest = [new_task(caller="many", fairness_key="a", alone=True) for _ in range(100)]
    async with spine.store.statement() as connection:
        await submitting.store(connection, rest, [], 60.0)
    return ids + [task.id for task in rest]


async def test_who_comes_to_a_share_that_waits_alone_has_its_turn_after_one_of_it(closed_spine: Spine) -> None:
    new = ("maintenance", 3)
    many, key, few = Share("many", "a"), Share("many", "b"), Share("few", "")
    assert await ahead_of_new(closed_spine.store, {}, *new, few) is None, "nobody waits"
    ids = await alone(closed_spine)
    await closed_spine.run("DELETE FROM task_live WHERE NOT alone")
    assert await ahead_of_new(closed_spine.store, {}, *new, many) is None, "nobody else waits"
    assert await ahead_of_new(closed_spine.store, {}, *new, few) == 1
    assert await ahead_of_new(closed_spine.store, {"few": 0.25}, *new, few) == 4
    assert await ahead_of_new(closed_spine.store, {}, *new, key) == 1
    assert await before(closed_spine, ids[250]) == (50, False)


async def test_of_a_share_that_others_wait_beside_those_that_wait_alone_are_counted(closed_spine: Spine) -> None:
    ids = await alone(closed_spine)
    few = await submit(closed_spine, 5, "few")
    assert await before(closed_spine, few[2]) == (2 + 3, False)
    assert await before(closed_spine, ids[100]) == (100 + 5, False)
    assert await before(closed_spine, ids[250]) == (250 + 5, False)


@pytest.mark.parametrize("mine", [0, 2500])
async def test_no_more_are_counted_than_are_told(closed_spine: Spine, mine: int) -> None:
    await submit(closed_spine, 2500, "many")
    ids = await submit(closed_spine, mine + 1, "few")
    found = await before(closed_spine, ids[-1])
    assert found == ((2000, True) if mine else (1, False))
