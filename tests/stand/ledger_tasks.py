"""Task types whose effect can be counted: each run appends a line to the ledger before it does anything else."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from pointsman import task
from pointsman_contract.message import HEADER
from tests.stand.ledger import VARIABLE, Ledger

_LONGEST_HOLD_SECONDS = 100.0
BROKEN = "ACCEPTANCE_BROKEN"
"""The variable that names the file."""


def _note(request: Any) -> None:
    header = request.get(HEADER)
    attempt = 0 if header is None else header["after"] + 1
    Ledger(Path(os.environ[VARIABLE])).append(request.id, attempt)


@task(name="ledger.write", bind=True)
def write(self: Any, *_: Any) -> str:
    """Leaves its effect and returns the queue it came from."""
    _note(self.request)
    return str(self.request.delivery_info["routing_key"])


@task(name="ledger.hold", bind=True)
def hold(self: Any, release: str) -> str:
    """Leaves its effect and keeps its process until the file ``release`` exists."""
    _note(self.request)
    deadline = time.monotonic() + _LONGEST_HOLD_SECONDS
    while not Path(release).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody made {release}")
        time.sleep(0.05)
    return "released"


@task(name="ledger.priced", bind=True, max_retries=0)
def priced(self: Any, order: dict[str, int]) -> int:
    """Leaves its effect and returns the price of an order; one without a price is a bug."""
    _note(self.request)
    return order["price_cents"]


@task(name="ledger.add", bind=True)
def add(self: Any, x: int, y: int) -> int:
    """Leaves its effect and returns the sum."""
    _note(self.request)
    return x + y


@task(name="ledger.total", bind=True)
def total(self: Any, numbers: list[int]) -> int:
    """Leaves its effect and returns the sum of all."""
    _note(self.request)
    return sum(numbers)


@task(name="ledger.flaky", bind=True, default_retry_delay=0, max_retries=3)
def flaky(self: Any, fails: int, how: str = "raise", countdown: float = 0.3) -> list[int]:
    """Leaves its effect, fails so many times, then returns what it saw of its attempts."""
    _note(self.request)
    if self.attempt <= fails:
        error = ConnectionError(f"attempt {self.attempt}")
        if how == "retry":
            raise self.retry(exc=error, countdown=countdown)
        raise error
    return [self.attempt, self.max_attempts, self.request.retries]


@task(name="ledger.die", bind=True, default_retry_delay=0)
def die(self: Any, times: int) -> int:
    """Leaves its effect and kills its process so many times."""
    _note(self.request)
    if self.attempt <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return int(self.attempt)


@task(name="ledger.kill_node", bind=True)
def kill_node(self: Any) -> None:
    """Leaves its effect and kills its whole node."""
    _note(self.request)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(_LONGEST_HOLD_SECONDS)


@task(name="ledger.steps", bind=True)
async def steps(self: Any, release: str) -> str:
    """Says how far it is and waits until the file ``release`` exists."""
    _note(self.request)
    self.progress(1, 3, "one of three")
    while not await asyncio.to_thread(Path(release).exists):  # noqa: ASYNC110 - another process makes the file
        await asyncio.sleep(0.05)
    self.update_state(state="PROGRESS", meta={"current": 3, "total": 3, "file": "report.html"})
    return "done"


@task(name="ledger.depends", bind=True, default_retry_delay=0)
def depends(self: Any) -> str:
    """Leaves its effect, and fails in a node whose environment is broken: the file that a variable names is there."""
    _note(self.request)
    if Path(os.environ.get(BROKEN, "/nonexistent")).exists():
        raise OSError("the disk of this node is full")
    return str(self.request.hostname)
