"""Tasks of a team that uses the worker library."""

import asyncio
import contextvars
import logging
import os
import signal
import sys
import threading
import time
from typing import Any

import celery
from billiard.exceptions import SoftTimeLimitExceeded
from pydantic import BaseModel

from pointsman import ManagedTask, PermanentError, task


class Person(BaseModel):
    name: str
    age: int = 0


@task(name="sample.greet")
def greet(person: Person, *, loud: bool = False) -> Person:
    assert isinstance(person, Person)
    return person.model_copy(update={"name": person.name.upper() if loud else person.name})


@task(name="sample.die")
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task(name="sample.leave")
def leave() -> None:
    sys.exit(3)


@task(name="sample.busy")
def busy(seconds: float, ledger: str | None = None) -> str:
    if ledger and ledger != "ignore":
        with open(ledger, "a") as stream:
            stream.write(f"{os.getpid()}\n")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.05)
        except SoftTimeLimitExceeded:
            if ledger != "ignore":
                raise
    return "done"


@task(name="sample.until")
def until(path: str, ledger: str | None = None) -> str:
    if ledger:
        with open(ledger, "a") as stream:
            stream.write(f"{os.getpid()}\n")
    while not os.path.exists(path):
        time.sleep(0.02)
    return "done"


@task(name="sample.stubborn")
def stubborn() -> None:
    while True:
        try:
            time.sleep(60)
        except SystemExit:
            continue


@task(name="sample.not_json")
def not_json() -> Any:
    return {1, 2}


@task(name="sample.not_a_number")
def not_a_number() -> float:
    return float("nan")


@task(name="sample.large")
def large(size: int) -> str:
    return "x" * size


@task(name="sample.odd_message")
def odd_message() -> None:
    raise ValueError("nul \0 and surrogate \ud800 here")


@task(name="sample.deep")
def deep(depth: int) -> None:
    if depth == 0:
        raise KeyError("bottom")
    deep.run(depth - 1)


@task(name="sample.out_of_memory")
def out_of_memory() -> None:
    raise MemoryError


@task(name="sample.permanent")
def permanent() -> None:
    raise PermanentError("never again")


@task(name="sample.retry", bind=True, max_retries=2, default_retry_delay=0)
def retry(self: Any) -> list[int]:
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    return [self.request.retries, self.request.delivery_info["priority"]]


@task(name="sample.replace", bind=True)
def replace(self: Any) -> Any:
    raise self.replace(priority.s())


@task(name="sample.priority", bind=True)
def priority(self: Any, *_: Any) -> int:
    return int(self.request.delivery_info["priority"])


@task(name="sample.place", bind=True)
def place(self: Any) -> list[Any]:
    info = self.request.delivery_info
    return [info["routing_key"], info["priority"]]


@task(name="sample.add")
def add(left: int, right: int) -> int:
    return left + right


@task(name="sample.total")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task(name="sample.native_error")
def native_error() -> None:
    raise RuntimeError("plain celery failure")


@task(name="sample.note_order")
def note_order(ledger: str, name: str) -> None:
    with open(ledger, "a") as stream:
        stream.write(name + "\n")


@task(name="sample.forking")
def forking(how: str) -> str:
    """Forks, and lets the child come out of the body as well."""
    child = os.fork()
    if child == 0:
        if how == "exits":
            sys.exit(3)
        if how == "raises":
            raise RuntimeError("in the child")
        return "the child"
    _, status = os.waitpid(child, 0)
    return f"the parent, of one that ended with {os.waitstatus_to_exitcode(status)}"


@task(name="sample.forking_plain", base=celery.Task, managed=False)
def forking_plain() -> str:
    return str(forking.run("returns"))


class Rude(ManagedTask):
    """What its hook raises is no ``Exception``."""

    def on_success(self, *_: Any) -> None:
        raise asyncio.CancelledError


@task(name="sample.rude_hook", base=Rude)
def rude_hook() -> str:
    return "done"


@task(name="sample.says")
def says(what: str, divisor: int) -> int:
    """Logs, prints, and logs from a thread that carries its run."""
    log = logging.getLogger("sample")
    log.warning("%s", what)
    print("printed")  # noqa: T201 - Celery makes a line of it
    carried = threading.Thread(target=contextvars.copy_context().run, args=(log.warning, "from a thread"))
    carried.start()
    carried.join()
    return 1 // divisor
