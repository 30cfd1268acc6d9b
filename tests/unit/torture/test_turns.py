"""The same seed plays the same order."""

import random

from tests.race.interleave import Turns, step


async def order(seed: int) -> list[str]:
    said: list[str] = []

    async def actor(name: str) -> None:
        for number in range(4):
            await step()
            said.append(f"{name}{number}")

    await Turns(random.Random(seed)).play([actor("a"), actor("b"), actor("c")])
    return said


async def test_a_seed_decides_the_order() -> None:
    assert await order(7) == await order(7)


async def test_seeds_differ() -> None:
    assert len({tuple(await order(seed)) for seed in range(20)}) > 15


async def test_every_actor_keeps_its_own_order() -> None:
    said = await order(3)
    assert [word for word in said if word[0] == "b"] == ["b0", "b1", "b2", "b3"]


async def test_what_an_actor_raises_is_returned() -> None:
    async def fails() -> None:
        await step()
        raise ValueError("no")

    (answer,) = await Turns(random.Random(1)).play([fails()])
    assert isinstance(answer, ValueError)
