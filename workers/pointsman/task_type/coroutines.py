"""``async def`` tasks: their body runs in an event loop that lives as long as its process.

The loop is kept from run to run, so that a client made in one is good in the next. What a body leaves behind is
cancelled. A loop that something was left in is not used again. A run that is cancelled is told where it awaits.
"""

import asyncio
import contextvars
import functools
import inspect
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded

logger = logging.getLogger(__name__)

_WATCH_SECONDS = 0.2
"""How often a running body is asked about."""
_BODY = "_pointsman_body"
_LEFT_SECONDS = 1.0
"""How long what a body left behind may take to end."""


class _Body:
    """A body that can be told its soft time limit: it is raised where the body awaits."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self.task: asyncio.Task[Any] | None = None
        """Set while it runs."""
        self.has_ended = False
        self._exceeded = False
        self._timer: asyncio.TimerHandle | None = None

    def interrupt(self, loop: asyncio.AbstractEventLoop) -> None:
        """From a signal handler: raise ``SoftTimeLimitExceeded`` in the body, unless it has ended."""
        if not self.has_ended:
            self._exceeded = True
            if self.task is not None:
                loop.call_soon_threadsafe(self.task.cancel)

    async def run(self, is_cancelled: Callable[[], bool] | None) -> Any:
        """The body's result, or what it raised; ``asyncio.CancelledError`` is raised in it once ``is_cancelled``."""
        self.task = asyncio.current_task()
        if self._exceeded and self.task is not None:
            self.task.cancel()
        if is_cancelled is not None:
            self._watch(asyncio.get_running_loop(), is_cancelled)
        try:
            return await self
        finally:
            self.has_ended = True
            if self._timer is not None:
                self._timer.cancel()

    def _watch(self, loop: asyncio.AbstractEventLoop, is_cancelled: Callable[[], bool]) -> None:
        if not is_cancelled():
            self._timer = loop.call_later(_WATCH_SECONDS, self._watch, loop, is_cancelled)
        elif self.task is not None:
            self.task.cancel()

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
        if not self._exceeded:
            return None
        self._exceeded = False
        if self.task is not None:
            self.task.uncancel()
        return SoftTimeLimitExceeded()


class EventLoop:
    """The event loop of one thread."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._body: _Body | None = None
        self._is_clean = True

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """The coroutine's result, or what it raised. Context variables that it sets are its own."""
        self._body = _Body(coroutine)
        self._is_clean = False
        try:
            return self._runner.run(self._run(self._body), context=contextvars.copy_context())
        finally:
            self._body = None
            if not self._is_clean:
                self._leave_loop()

    def interrupt(self) -> bool:
        """Raise ``SoftTimeLimitExceeded`` in the running body, from a signal handler. False when none runs.

        One that has ended, and whose remains are being cleared away, is not disturbed: its result counts.
        """
        if self._body is None:
            return False
        self._body.interrupt(self._runner.get_loop())
        return True

    def close(self) -> None:
        """End the loop."""
        self._runner.close()

    async def _run(self, body: _Body) -> Any:
        try:
            return await body.run(getattr(_local, "is_cancelled", None))
        finally:
            self._is_clean = await _clear_away()

    def _leave_loop(self) -> None:
        """Something is still in the loop and would wake up in the next body's time."""
        logger.warning("the event loop of this process is left: what a task body left behind does not end")
        # Closing the runner would wait for what does not end.
        self._runner.get_loop().close()
        self._runner = asyncio.Runner()
        self._is_clean = True


async def _clear_away() -> bool:
    """Cancel what a body left behind; whether all of it has ended."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if not left:
        return True
    logger.warning("%d asyncio tasks were left behind by a task body and cancelled", len(left))
    for task in left:
        task.cancel()
    _, alive = await asyncio.wait(left, timeout=_LEFT_SECONDS)
    return not alive


_local = threading.local()


def _existing_loop() -> EventLoop | None:
    made_by, loop = getattr(_local, "made", (0, None))
    return loop if made_by == os.getpid() else None


def event_loop() -> EventLoop:
    """The event loop of this thread of this process, made on first use."""
    loop = _existing_loop()
    if loop is None:
        loop = EventLoop()
        _local.made = (os.getpid(), loop)
    return loop


def interrupt() -> bool:
    """Raise ``SoftTimeLimitExceeded`` in the body that this thread's event loop runs. False when none runs."""
    loop = _existing_loop()
    return loop is not None and loop.interrupt()


def watch(is_cancelled: Callable[[], bool] | None) -> None:
    """From here on a body that this thread's event loop runs is cancelled once ``is_cancelled`` says so; None: never.

    To be taken back with None. A function, since a context manager made of a generator costs each run a microsecond.
    """
    _local.is_cancelled = is_cancelled


def complete(result: Any) -> Any:
    """What a body returned; a coroutine is run to its end first."""
    return event_loop().run(result) if inspect.iscoroutine(result) else result


@functools.cache
def as_function(body: Callable[..., Any], in_worker: Callable[[], bool]) -> Callable[..., Any]:
    """An ``async def`` body as Celery can run it: in a worker it returns its result, elsewhere its coroutine.

    Inside a running event loop, as when one async task calls another, it returns its coroutine too. Always the same
    function for a body: by that Celery tells a task made twice from two of one name.
    """

    @functools.wraps(body)
    def run(*args: Any, **kwargs: Any) -> Any:
        coroutine = body(*args, **kwargs)
        return complete(coroutine) if in_worker() and not _in_event_loop() else coroutine

    # inspect.iscoroutinefunction looks at the code and not at __wrapped__, so this one is a plain function.
    setattr(run, _BODY, body)
    return run


def body_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """What ``as_function`` was given, or any other function itself."""
    body: Callable[..., Any] = vars(function).get(_BODY, function) if hasattr(function, "__dict__") else function
    # A decorator around it, with functools.wraps, has its attributes too.
    return body if getattr(function, "__wrapped__", None) is body else function


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
