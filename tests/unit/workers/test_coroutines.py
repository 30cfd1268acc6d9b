import asyncio
import logging
from contextlib import closing
from contextvars import ContextVar
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from pointsman import celery
from pointsman.task_type.coroutines import EventLoop, as_function, complete
from pointsman.testing import run


@celery.task(name="unit.async", bind=True)
async def doubled(self: Any, number: int) -> int:
    self.progress(1, 2)
    await asyncio.sleep(0)
    return 2 * number


def test_an_async_body_runs_as_a_task() -> None:
    ran = run(doubled, 4)
    assert (ran.state, ran.result, ran.progress[0]["current"]) == ("succeeded", 8, 1)


def test_an_async_task_called_plainly_is_awaited_by_its_caller() -> None:
    coroutine: Any = doubled(4)
    assert asyncio.run(coroutine) == 8


def test_an_async_task_runs_eagerly_as_celery_does() -> None:
    assert doubled.apply(args=(4,)).get() == 8


def test_an_error_of_an_async_body_begins_at_the_body() -> None:
    @celery.task(name="unit.async_error")
    async def body() -> None:
        raise ValueError("no")

    error = run(body).error
    assert error is not None
    assert error["traceback"].splitlines()[1].endswith("in body")
    assert 'pointsman/task_type/coroutines.py"' not in error["traceback"]


def test_runs_share_one_loop() -> None:
    async def loop() -> Any:
        return asyncio.get_running_loop()

    assert complete(loop()) is complete(loop())


def test_what_is_no_coroutine_passes_as_it_is() -> None:
    assert complete(5) == 5
    assert as_function(lambda: 5, lambda: True)() == 5


def _interrupted(body: Any) -> Any:
    """Run a body and tell it its soft limit as soon as it waits."""
    with closing(EventLoop()) as loop:

        async def told() -> Any:
            asyncio.get_running_loop().call_soon(loop.interrupt)
            return await body()

        return loop.run(told())


def test_the_soft_limit_is_raised_where_the_body_awaits() -> None:
    async def body() -> str:
        try:
            await asyncio.Event().wait()
        except SoftTimeLimitExceeded:
            return "cleaned up"
        return "never"

    assert _interrupted(body) == "cleaned up"


def test_a_soft_limit_nobody_catches_ends_the_body() -> None:
    async def body() -> None:
        await asyncio.Event().wait()

    with pytest.raises(SoftTimeLimitExceeded):
        _interrupted(body)


def test_a_body_that_goes_on_after_its_soft_limit_may_wait_again() -> None:
    async def body() -> str:
        try:
            await asyncio.Event().wait()
        except SoftTimeLimitExceeded:
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
        return "went on"

    assert _interrupted(body) == "went on"


def test_nothing_is_interrupted_when_no_body_runs() -> None:
    with closing(EventLoop()) as loop:
        assert loop.interrupt() is False


def test_what_a_body_leaves_behind_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    left: list[asyncio.Task[Any]] = []

    async def body() -> None:
        left.append(asyncio.ensure_future(asyncio.Event().wait()))

    with caplog.at_level(logging.WARNING):
        complete(body())
    assert left[0].cancelled()
    assert "left behind" in caplog.text


def test_what_does_not_end_costs_the_loop_and_not_the_result(caplog: pytest.LogCaptureFixture) -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    async def body() -> str:
        kept.append(asyncio.ensure_future(stubborn()))
        await asyncio.sleep(0)
        return "done"

    async def next_body() -> int:
        return len(asyncio.all_tasks())

    kept: list[Any] = []
    with closing(EventLoop()) as loop:
        assert loop.run(body()) == "done"
        assert "is left" in caplog.text
        assert loop.run(next_body()) == 1
    kept[0]._log_destroy_pending = False


def test_a_soft_limit_after_the_end_of_a_body_does_not_touch_its_result() -> None:
    with closing(EventLoop()) as loop:

        async def leaves_something() -> str:
            async def interrupts() -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    assert loop.interrupt()

            kept.append(asyncio.ensure_future(interrupts()))
            await asyncio.sleep(0)
            return "done"

        kept: list[Any] = []
        assert loop.run(leaves_something()) == "done"


def test_context_variables_of_a_body_are_its_own() -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="none")

    async def sets() -> str:
        before = tenant.get()
        tenant.set("42")
        return before

    tenant.set("caller's")
    assert [complete(sets()), complete(sets())] == ["caller's", "caller's"]
    assert tenant.get() == "caller's"


def test_an_async_task_may_await_another() -> None:
    @celery.task(name="unit.inner")
    async def inner(number: int) -> int:
        return number + 1

    @celery.task(name="unit.outer_of_inner")
    async def outer_of_inner(number: int) -> int:
        coroutine: Any = inner(number)
        return int(await coroutine)

    assert run(outer_of_inner, 4).result == 5
