"""How many tasks of a caller may wait, from memory."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from pointsman_service.api.problems.document import problem_headers, type_of
from pointsman_service.callers import Caller, KnownBy
from pointsman_service.errors import DatabaseAway, QuotaFull
from pointsman_service.submit.quotas import Quotas


def caller(quota: int | None = 10, name: str = "billing") -> Caller:
    return Caller(name, KnownBy.KEY, quota=quota)


class World:
    """What waits, read when it is asked for."""

    def __init__(self, waiting: int = 0, default: int | None = None) -> None:
        self.now = 1000.0
        self.waiting = waiting
        self.asked: list[Mapping[str, int]] = []
        self.is_away = False
        self.takes_seconds = 0.0
        self.meanwhile: Any = None
        self.quotas = Quotas(self.read, default, lambda: self.now)

    async def read(self, most: Mapping[str, int]) -> Mapping[str, int]:
        if self.is_away:
            raise DatabaseAway
        self.asked.append(most)
        waiting = self.waiting
        await asyncio.sleep(0)
        self.now += self.takes_seconds
        if self.meanwhile is not None:
            self.meanwhile()
        return dict.fromkeys(most, waiting)

    async def lets(self, who: Caller) -> bool:
        try:
            await self.quotas.check(who)
        except QuotaFull:
            return False
        self.quotas.take(who)
        return True


async def test_a_caller_at_its_quota_is_refused_and_told_when_to_come_again() -> None:
    world = World(waiting=8)
    assert [await world.lets(caller()) for _ in range(4)] == [True, True, False, False]
    with pytest.raises(QuotaFull) as refused:
        await world.quotas.check(caller())
    assert (refused.value.status, type_of(QuotaFull)) == (429, "urn:pointsman:problem:quota-full")
    assert problem_headers(refused.value) == {"Retry-After": "5"}
    assert refused.value.detail.startswith("10 tasks of billing may wait, and as many do; nothing was stored.")
    assert world.asked == [{"billing": 10}], "read once, and no further than the quota"


async def test_what_came_while_it_was_read_is_counted_and_what_was_read_not_twice() -> None:
    world = World()
    for _ in range(6):
        assert await world.lets(caller())
    world.waiting = 6
    world.meanwhile = lambda: world.quotas.take(caller())
    await world.quotas.single_pass()
    world.meanwhile = None
    assert [await world.lets(caller()) for _ in range(5)] == [True] * 3 + [False] * 2


async def test_a_task_that_was_not_stored_gives_its_place_back() -> None:
    world = World(waiting=9)
    assert [await world.lets(caller()) for _ in range(2)] == [True, False]
    world.quotas.give_back(["billing", "somebody"])
    assert [await world.lets(caller()) for _ in range(2)] == [True, False]


async def test_many_who_come_first_at_once_wait_for_their_readings() -> None:
    world = World(waiting=7)
    first = asyncio.ensure_future(world.lets(caller(name="shop")))
    await asyncio.sleep(0)
    assert sum(await asyncio.gather(*(world.lets(caller()) for _ in range(20)))) == 3
    assert await first
    assert len(world.asked) == 2


async def test_only_callers_who_submit_and_have_a_quota_are_read() -> None:
    world = World()
    assert not world.quotas.limits(caller(None))
    assert await world.lets(caller())
    world.now += 6
    await world.quotas.single_pass()
    assert len(world.asked) == 1
    assert world.quotas._waiting == {}
    assert World(default=3).quotas.limits(caller(None))


async def test_the_default_is_for_keys_that_say_nothing() -> None:
    world = World(default=2)
    assert [await world.lets(caller(None)) for _ in range(3)] == [True, True, False]
    assert all([await world.lets(caller(9, "shop")) for _ in range(9)])


async def test_what_cannot_be_read_refuses_nobody() -> None:
    world = World(waiting=50)
    world.is_away = True
    assert await world.lets(caller()), "the database refuses it itself"


async def test_a_slow_reading_is_followed_by_a_rest() -> None:
    world = World()
    world.takes_seconds = 0.2
    assert await world.lets(caller())
    world.now += 1.9
    await world.quotas._pass()
    assert len(world.asked) == 1
    world.now += 0.2
    await world.quotas._pass()
    assert len(world.asked) == 2
