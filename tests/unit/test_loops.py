import asyncio

import pytest

from pointsman_service.errors import ExpectedFault
from pointsman_service.loops import Loop


async def test_a_pass_follows_at_once_while_there_is_more() -> None:
    stop = asyncio.Event()
    passes = 0

    async def single_pass() -> bool:
        nonlocal passes
        passes += 1
        if passes == 5:
            stop.set()
        return True

    await asyncio.wait_for(Loop("test", single_pass, 3600).run(stop), 10)
    assert passes == 5


async def test_a_loop_that_rests_ends_as_soon_as_it_is_told() -> None:
    stop = asyncio.Event()

    async def single_pass() -> bool:
        asyncio.get_running_loop().call_soon(stop.set)
        return False

    await asyncio.wait_for(Loop("test", single_pass, 3600).run(stop), 10)


@pytest.mark.parametrize(("fault", "longest"), [(ExpectedFault, 2.0), (RuntimeError, 10.0)])
async def test_a_pass_that_fails_is_repeated_after_a_pause_that_grows_to_its_cap(
    fault: type[Exception], longest: float
) -> None:
    async def single_pass() -> bool:
        raise fault("away")

    loop = Loop("test", single_pass, 0.1)
    pauses = [await loop._one_pass() for _ in range(12)]
    assert 0 < pauses[0] <= 0.4
    assert longest / 2 <= pauses[-1] <= longest


async def test_a_pass_that_works_again_is_no_longer_held_back() -> None:
    answers: list[Exception | bool] = [ExpectedFault("away"), False]

    async def single_pass() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    loop = Loop("test", single_pass, 0.1)
    await loop._one_pass()
    assert await loop._one_pass() == 0.1
