"""Task types whose effect can be counted: each run appends a line to the ledger before it does anything else."""

import os
import time
from pathlib import Path
from typing import Any

from contract.message import HEADER
from tests.acceptance.ledger import VARIABLE, Ledger
from workers import task

_LONGEST_HOLD_SECONDS = 100.0


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
