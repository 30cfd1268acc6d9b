"""The dispatcher sends nothing that a circuit breaker holds."""

import pytest

from pointsman_service.breaker.breaker import BreakerState
from tests.integration.spine import Spine
from tests.integration.tripped import LIST, SMTP, Holding


@pytest.fixture
def holding(spine: Spine) -> Holding:
    return Holding(spine)


async def sent(spine: Spine) -> list[str]:
    """The tasks on the broker."""
    found = []
    while message := await spine.message(LIST):
        found.append(message["headers"]["id"])
    return found


@pytest.mark.parametrize("state", ["open", "half_open", "forced_open"])
async def test_waiting_tasks_of_a_breaker_that_is_not_closed_are_held_and_others_sent(
    spine: Spine, holding: Holding, state: str
) -> None:
    one, other = await holding.store_waiting(), await holding.store_waiting(dependencies=None)
    if state == "forced_open":
        await holding.force("dependency", "smtp", BreakerState.FORCED_OPEN)
    else:
        await holding.open("dependency", "smtp")
    if state == "half_open":
        await holding.half_open("dependency", "smtp")
    await spine.dispatcher.single_pass()
    assert await sent(spine) == [other]
    assert await holding.held(f"breaker:{SMTP}") == [one]
    (row,) = await spine.rows(
        "SELECT state, dispatch, held_at IS NOT NULL AS since FROM task_live WHERE id = :id", id=one
    )
    assert row == {"state": "held", "dispatch": 0, "since": True}


async def test_a_disabled_breaker_lets_everything_be_sent(spine: Spine, holding: Holding) -> None:
    one = await holding.store_waiting()
    await holding.force("dependency", "smtp", BreakerState.DISABLED)
    await spine.dispatcher.single_pass()
    assert await sent(spine) == [one]


async def test_the_breaker_of_the_task_type_holds_too(spine: Spine, holding: Holding) -> None:
    one = await holding.store_waiting(dependencies=None)
    await holding.open("task_type", "noop")
    await spine.dispatcher.single_pass()
    assert await holding.held("breaker:task_type:noop") == [one]


async def test_a_pass_holds_a_bounded_number_and_the_next_goes_on(spine: Spine, holding: Holding) -> None:
    await holding.store_waiting()
    await spine.run(
        "INSERT INTO task_live (id, state, place, task_type, queue, priority, sla_seconds, timeout_seconds, due_at,"
        " caller, args, kwargs, dependencies) SELECT gen_random_uuid(), 'queued', 'waiting', 'noop', 'maintenance', 3,"
        " 300, 300, now(), 'local', '[]', '{}', '{smtp}' FROM generate_series(1, 1500)"
    )
    last = await holding.store_waiting(dependencies=None)
    await holding.open("dependency", "smtp")
    assert await spine.dispatcher.single_pass() is True
    assert 0 < len(await holding.held()) < 1501
    for _ in range(3):
        await spine.dispatcher.single_pass()
    assert len(await holding.held()) == 1501
    assert await sent(spine) == [last]


async def test_a_task_that_is_to_be_cancelled_is_left_alone(spine: Spine, holding: Holding) -> None:
    one = await holding.store_waiting()
    await spine.run("UPDATE task_live SET cancel_requested_at = now() WHERE id = :id", id=one)
    await holding.open("dependency", "smtp")
    await spine.dispatcher.single_pass()
    assert await holding.held() == []


async def test_a_message_says_what_its_task_depends_on(spine: Spine, holding: Holding) -> None:
    await holding.store_waiting(dependencies="smtp\ndb:5432")
    await spine.dispatcher.single_pass()
    message = await spine.message(LIST)
    assert message is not None
    assert message["headers"]["pointsman"]["dependencies"] == ["smtp", "db:5432"]
