"""``async def`` tasks: their body runs in an event loop that lives as long as its process.

The loop is kept from run to run, so that a client made in one is good in the next. What a body leaves behind is
cancelled.
"""

import asyncio
import functools
import inspect
import logging
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded

logger = logging.getLogger(__name__)


class _Body:
    """A body that can be told its soft time limit: it is raised where the body awaits."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self.exceeded = False

    def __await__(self) -> Generator[Any, Any, Any]:
        error: BaseException | None = None
        value: Any = None
        while True:
            try:
                waits_for = self._coroutine.send(value) if error is None else self._coroutine.throw(error)
            except StopIteration as end:
                return end.value
            error = None
            try:
                value = yield waits_for
            except asyncio.CancelledError as cancelled:
                error = self._limit() or cancelled
            except BaseException as other:
                error = other

    def _limit(self) -> SoftTimeLimitExceeded | None:
        if not self.exceeded:
            return None
        self.exceeded = False
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        return SoftTimeLimitExceeded()


class EventLoop:
    """The event loop of one thread."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._body: _Body | None = None
        self._task: asyncio.Task[Any] | None = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """The coroutine's result, or what it raised."""
        self._body = _Body(coroutine)
        try:
            return self._runner.run(self._run(self._body))
        finally:
            self._body = self._task = None

    def interrupt(self) -> bool:
        """Raise ``SoftTimeLimitExceeded`` in the running body, from a signal handler. False when none runs."""
        body, task = self._body, self._task
        if body is None or task is None:
            return False
        body.exceeded = True
        self._runner.get_loop().call_soon_threadsafe(task.cancel)
        return True

    def close(self) -> None:
        """End the loop."""
        self._runner.close()

    async def _run(self, body: _Body) -> Any:
        self._task = asyncio.current_task()
        try:
            return await body
        finally:
            self._task = None
            await _cancel_what_is_left()


async def _cancel_what_is_left() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        logger.warning("%d asyncio tasks were left behind by a task body and cancelled", len(left))
        await asyncio.gather(*left, return_exceptions=True)


_local = threading.local()


def event_loop() -> EventLoop:
    """The event loop of this thread, made on first use."""
    loop: EventLoop | None = getattr(_local, "loop", None)
    if loop is None:
        loop = _local.loop = EventLoop()
    return loop


def interrupt() -> bool:
    """Raise ``SoftTimeLimitExceeded`` in the body that this thread's event loop runs. False when none runs."""
    loop: EventLoop | None = getattr(_local, "loop", None)
    return loop is not None and loop.interrupt()


def complete(result: Any) -> Any:
    """What a body returned; a coroutine is run to its end first."""
    return event_loop().run(result) if inspect.iscoroutine(result) else result


@functools.cache
def as_function(body: Callable[..., Any], in_worker: Callable[[], bool]) -> Callable[..., Any]:
    """An ``async def`` body as Celery can run it: in a worker it returns its result, elsewhere its coroutine.

    Always the same function for a body: by that Celery tells a task made twice from two of one name.
    """

    @functools.wraps(body)
    def run(*args: Any, **kwargs: Any) -> Any:
        coroutine = body(*args, **kwargs)
        return complete(coroutine) if in_worker() else coroutine

    # inspect.iscoroutinefunction looks at the code and not at __wrapped__, so this one is a plain function.
    return run
