import asyncio
import time

import pytest

from pointsman_service.dashboard.metering import Metered


def busy(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def test_what_it_does_counts_and_what_it_waits_for_does_not() -> None:
    async def work() -> int:
        busy(0.02)
        await asyncio.sleep(0.1)
        busy(0.02)
        return 7

    metered = Metered(work())
    other = asyncio.create_task(asyncio.to_thread(busy, 0.05))
    assert await metered == 7
    assert 0.04 <= metered.seconds < 0.08
    await other


async def test_an_error_of_the_work_is_its_own() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await Metered(work())


async def test_a_cancel_reaches_the_work() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("here")

    async def metered() -> None:
        await Metered(work())

    task = asyncio.create_task(metered())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["here"]
