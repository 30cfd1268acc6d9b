"""Task types with something around their body: whatever Celery lets an author hang there."""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import signals
from celery.exceptions import Ignore, Reject
from pydantic import BaseModel

from pointsman import ManagedTask, task
from tests.stand.ledger import VARIABLE, Ledger

ONCE_MORE: dict[str, Any] = {"max_retries": 1, "default_retry_delay": 0}
ERRORS: dict[str, Callable[[], BaseException]] = {
    "error": lambda: LookupError("the hook"),
    "ignore": Ignore,
    "reject": lambda: Reject("the hook", requeue=False),
    "requeue": lambda: Reject("the hook", requeue=True),
    "memory": MemoryError,
    "exit": SystemExit,
}
HOOKS = ("before_start", "on_success", "on_failure", "on_retry", "after_return")


def _note(self: Any) -> None:
    Ledger(Path(os.environ[VARIABLE])).append(self.request.id, self.attempt)


class Calling(ManagedTask):
    """As Flask's and Celery's documentation write it."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.entered = self.request.id
        return self.run(*args, **kwargs)


class CallingSuper(Calling):
    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super(Calling, self).__call__(*args, **kwargs)


class CallingNobody(ManagedTask):
    abstract = True

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise LookupError("there is no application here")


class Order(BaseModel):
    number: int


@task(name="hooks.call", bind=True, base=Calling, **ONCE_MORE)
def called(self: Any) -> bool:
    _note(self)
    return bool(self.entered == self.request.id)


@task(name="hooks.call_super", bind=True, base=CallingSuper, **ONCE_MORE)
def called_super(self: Any) -> None:
    _note(self)


@task(name="hooks.call_retry", bind=True, base=Calling, **ONCE_MORE)
def called_again(self: Any) -> list[int]:
    _note(self)
    if self.attempt == 1:
        raise self.retry(countdown=0)
    return [self.attempt, self.request.retries]


@task(name="hooks.call_autoretry", bind=True, base=Calling, autoretry_for=(KeyError,), **ONCE_MORE)
def called_by_autoretry(self: Any) -> None:
    _note(self)
    if self.attempt == 1:
        raise KeyError("once")


@task(name="hooks.call_model", bind=True, base=Calling, **ONCE_MORE)
def called_with_a_model(self: Any, order: Order) -> int:
    _note(self)
    return order.number


@task(name="hooks.call_async", bind=True, base=Calling, **ONCE_MORE)
async def called_async(self: Any) -> str:
    _note(self)
    return "awaited"


@task(name="hooks.call_nobody", bind=True, base=CallingNobody, **ONCE_MORE)
def never_called(self: Any) -> None:
    _note(self)


@task(name="hooks.any_name", bind=True, **ONCE_MORE)
def any_name(self: Any, /, **named: int) -> list[str]:
    _note(self)
    return sorted(named)


@task(name="hooks.options", bind=True, track_started=True, store_errors_even_if_ignored=True, **ONCE_MORE)
def with_options(self: Any) -> None:
    _note(self)


class SecondThoughts(ManagedTask):
    abstract = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        self.seen = [self.attempt, self.request.retries, self.is_managed]
        if self.request.retries == 0:
            raise ConnectionError("not yet")


@task(name="hooks.before_start_once", bind=True, base=SecondThoughts, **ONCE_MORE)
def second_thoughts(self: Any) -> Any:
    _note(self)
    return self.seen


def _raising(hook: str, how: str) -> type:
    def raises(*_: Any, **__: Any) -> None:
        raise ERRORS[how]()

    return type("Raising", (ManagedTask,), {"abstract": True, hook: raises, "__module__": __name__})


def _body(self: Any, fails: int = 0) -> None:
    _note(self)
    if self.attempt <= fails:
        raise ConnectionError(f"attempt {self.attempt}")


_declare: Any = task
for _hook in HOOKS:
    for _how in ERRORS:
        _declare(name=f"hooks.{_hook}.{_how}", bind=True, base=_raising(_hook, _how), **ONCE_MORE)(_body)

for _signal in ("prerun", "postrun", "success", "failure", "retry", "received"):
    for _how in ("error", "exit") if _signal == "prerun" else ("error",):
        _declare(name=f"hooks.{_signal}.{_how}", bind=True, **ONCE_MORE)(_body)


@signals.task_received.connect
@signals.task_prerun.connect
@signals.task_postrun.connect
@signals.task_success.connect
@signals.task_failure.connect
@signals.task_retry.connect
def _receiver(signal: Any, sender: Any = None, request: Any = None, **_: Any) -> None:
    name = getattr(sender, "name", None) or getattr(request, "name", "")
    kind = signal.name.removeprefix("task_")
    for how in ("error", "exit"):
        if name == f"hooks.{kind}.{how}":
            raise ERRORS[how]()


@task(name="hooks.limit", bind=True, base=_raising("on_failure", "error"), time_limit=1, **ONCE_MORE)
def past_its_limit(self: Any) -> None:
    _note(self)
    if self.attempt == 1:
        time.sleep(60)


class Telling(ManagedTask):
    """Writes down which of Celery's hooks were called, wherever that happens."""

    abstract = True

    def on_retry(self, exc: Any, task_id: str, *_: Any) -> None:
        self._told(task_id, f"on_retry {type(exc).__name__}")

    def on_failure(self, exc: Any, task_id: str, *_: Any) -> None:
        self._told(task_id, f"on_failure {type(exc).__name__}")

    def after_return(self, status: str, retval: Any, task_id: str, *_: Any) -> None:
        self._told(task_id, f"after_return {status}")

    def _told(self, task_id: str, what: str) -> None:
        with told_of(task_id, Path(os.environ[VARIABLE])).open("a") as told:
            told.write(f"{what}\n")


def told_of(task_id: str, ledger: Path) -> Path:
    """What the hooks of a task that tells were called with."""
    return Path(f"{ledger}.{task_id}")


@task(name="hooks.tells", bind=True, base=Telling, time_limit=1, **ONCE_MORE)
def tells(self: Any, times: int) -> None:
    _note(self)
    if self.attempt <= times:
        time.sleep(60)


@task(name="hooks.writes")
def writes(release: str) -> None:
    logging.getLogger(__name__).info("before")
    while not os.path.exists(release):
        time.sleep(0.02)
    sys.stdout.write("after\n")
