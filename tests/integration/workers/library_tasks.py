"""Tasks that use what the worker library offers, in a real worker."""

import asyncio
import contextvars
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import celery
from billiard.exceptions import SoftTimeLimitExceeded

from pointsman import (
    CriticalTask,
    EmailTask,
    ExternalAPITask,
    MaintenanceTask,
    ManagedTask,
    PermanentError,
    RefusedByDependency,
    ReportTask,
    task,
)


@task(name="library.async")
async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


@task(name="library.async_soft", soft_time_limit=1, time_limit=20)
async def waits() -> str:
    try:
        await asyncio.Event().wait()
    except SoftTimeLimitExceeded:
        return "cleaned up"
    return "never"


@task(name="library.async_retry", bind=True, autoretry_for=(ValueError,), retry_backoff=1, retry_jitter=False)
async def fails_first(self: Any) -> int:
    if self.request.retries == 0:
        raise ValueError("first")
    return int(self.request.retries)


@task(name="library.quiet", ignore_result=True)
def quiet() -> str:
    return "not kept"


@task(name="library.progress", bind=True)
def tells(self: Any) -> None:
    for number in range(1, 1001):
        self.progress(number, 1000)


class Noting(ManagedTask):
    """Has hooks, as a team's own base would."""

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        _note(args[0], f"retry {exc}")

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        _note(args[0], f"failure {exc}")


def _note(ledger: str, line: str) -> None:
    with open(ledger, "a") as stream:
        stream.write(line + "\n")


@task(name="library.hooks", base=Noting, max_retries=1)
def hooks(ledger: str) -> None:
    raise ValueError("always")


@task(name="library.rare", rate_limit="1/h")
def rare() -> None:
    """One an hour."""


@task(name="library.dies", max_retries=7, default_retry_delay=3)
def dies() -> None:
    os._exit(1)


@task(name="library.picky", autoretry_for=(ValueError,))
def picky() -> None:
    while True:
        pass


@task(name="library.cancelled", bind=True, time_limit=60)
def looks(self: Any, how: str) -> str:
    while not self.cancelled:
        time.sleep(0.01)
    if how == "raise":
        self.raise_if_cancelled()
    return "cleaned up"


@task(name="library.async_cancelled", time_limit=60)
async def awaits(how: str) -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if how == "raise":
            raise
    return "cleaned up"


@task(name="library.deaf", time_limit=60)
def deaf(seconds: float) -> None:
    """Blocks in C, where no signal handler of Python's runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.2)


@task(name="library.once", bind=True, max_retries=5, default_retry_delay=0)
def once(self: Any, ledger: str, how: str) -> list[Any]:
    with self.once("charge") as step:
        if step:
            _note(ledger, f"charged in attempt {self.attempt}")
            if how == "die":
                os._exit(1)
            if how == "raise":
                raise ConnectionError("no answer")
            step.result = "receipt"
    if self.attempt == 1:
        raise ValueError("after the step")
    return [step.first, step.finished, step.result]


@task(name="library.once_in_threads", bind=True, max_retries=5, default_retry_delay=0)
async def once_in_threads(self: Any, ledger: str) -> None:
    def charge(where: str) -> None:
        with self.once(where) as step:
            if step:
                _note(ledger, f"{where} in attempt {self.attempt}")

    await asyncio.gather(*(asyncio.to_thread(charge, f"thread {number}") for number in range(8)))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.copy_context().run, charge, "pool").result()
        if self.attempt == 3:
            pool.submit(charge, "nowhere").result()
    raise ValueError("after the charges")


@task(name="library.late_once", bind=True)
def late_once(self: Any, ledger: str, go: str) -> None:
    while not os.path.exists(go):
        time.sleep(0.02)
    with self.once("charge"):
        _note(ledger, "charged")


@task(name="library.in_c", time_limit=60)
def in_c() -> int:
    """Never gets back to where Python looks for signals."""
    return sum(range(10**12))


@task(name="library.stubborn", time_limit=60)
def stubborn() -> None:
    while True:
        try:
            while True:
                time.sleep(0.05)
        except SoftTimeLimitExceeded:
            continue


@task(name="library.calls", bind=True, dependencies=("smtp", "db"), time_limit=60)
def calls(self: Any, name: str, how: str) -> str:
    with self.calling(name):
        if how == "fail":
            raise ConnectionRefusedError(name)
        if how == "refuse":
            raise RefusedByDependency("550 no")
        if how == "never":
            raise PermanentError("the letter has no address")
        if how == "hang":
            time.sleep(30)
    if how == "fail later":
        raise ValueError("after the call")
    return "called"


@task(name="library.calls_or_fails", bind=True, dependencies=("smtp",), fail_fast=True, max_retries=0)
def calls_or_fails(self: Any, *names: str) -> None:
    with ExitStack() as calls:
        for name in names:
            calls.enter_context(self.calling(name))


@task(name="library.crashes", dependencies=("smtp",))
def crashes() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _sleeps(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


for _base in (CriticalTask, EmailTask, ReportTask, ExternalAPITask, MaintenanceTask):
    task(name=f"library.sleeps.{_base.__name__}", base=_base)(_sleeps)


@task(name="library.plain_only", base=celery.Task, bind=True, managed=False, expires=600)
def plain_only(self: Any) -> str:
    self.attempt, self.cancelled, self.is_managed, self.max_attempts = "mine", True, "no", 5
    return f"{self.attempt} {self.cancelled} {self.is_managed} {self.max_attempts}"


@task(name="library.own_names", bind=True)
def own_names(self: Any) -> str:
    self.attempt, self.cancelled, self.is_managed, self.max_attempts = "mine", True, "no", 5
    return f"{self.attempt} {self.cancelled} {self.is_managed} {self.max_attempts}"


@task(name="library.brief", bind=True, time_limit=2, soft_time_limit=1)
def brief(self: Any, seconds: float) -> list[float]:
    time.sleep(seconds)
    return list(self.request.timelimit)
