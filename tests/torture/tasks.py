"""Task types whose every execution leaves its effect, with the ways to end badly that the fault list names."""

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
from celery.exceptions import SoftTimeLimitExceeded

from pointsman import task
from tests.torture.effects import note

_LONGEST_HOLD_SECONDS = 120.0
BROKEN_DEPLOY = "TORTURE_BROKEN_DEPLOY"
"""A node with this variable cannot digest anything."""


@task(name="torture.effect", bind=True, default_retry_delay=0, max_retries=9)
def effect(self: Any, seconds: float = 0.0, fails: int = 0, how: str = "raise") -> int:
    """Leaves its effect, takes so long, fails so many times, then returns its attempt."""
    attempt = int(self.attempt)
    note("B", self.request.id, attempt)
    if seconds:
        time.sleep(seconds)
    note("E", self.request.id, attempt)
    if attempt <= fails:
        error = ConnectionError(f"attempt {attempt}")
        if how == "retry":
            raise self.retry(exc=error, countdown=0.3)
        raise error
    return attempt


@task(name="torture.digest", bind=True)
def digest(self: Any, value: str) -> str:
    """Leaves its effect, and fails for a bad input, or whatever the input when the deploy is broken."""
    attempt = int(self.attempt)
    note("B", self.request.id, attempt)
    time.sleep(0.03)
    note("E", self.request.id, attempt)
    if value == "bad" or BROKEN_DEPLOY in os.environ:
        raise ValueError(f"cannot digest {value}")
    return value


@task(name="torture.call", bind=True, default_retry_delay=0, max_retries=9, dependencies=["outside"])
def call(self: Any, url: str) -> int:
    """Leaves its effect around a call of a service that may be dead."""
    attempt = int(self.attempt)
    note("B", self.request.id, attempt)
    try:
        with self.calling("outside"):
            httpx.get(url, timeout=10.0, trust_env=False).raise_for_status()
    finally:
        note("E", self.request.id, attempt)
    return attempt


@task(name="torture.hold", bind=True, max_retries=9)
def hold(self: Any, release: str) -> int:
    """Leaves its effect and keeps its process until the file ``release`` exists."""
    attempt = int(self.attempt)
    note("B", self.request.id, attempt)
    deadline = time.monotonic() + _LONGEST_HOLD_SECONDS
    while not Path(release).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody made {release}")
        time.sleep(0.05)
    note("E", self.request.id, attempt)
    return attempt


@task(name="torture.die", bind=True, default_retry_delay=0, max_retries=3)
def die(self: Any, how: str) -> None:
    """Leaves its effect and takes its process with it, whichever attempt it is."""
    note("B", self.request.id, int(self.attempt))
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGSEGV if how == "segv" else signal.SIGKILL)


@task(name="torture.kill_parent", bind=True, default_retry_delay=0, max_retries=3)
def kill_parent(self: Any, marker: str = "") -> None:
    """Leaves its effect and takes the whole node with it, as the kernel does with a container out of memory."""
    note("B", self.request.id, int(self.attempt))
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(_LONGEST_HOLD_SECONDS)


@task(name="torture.hang", bind=True, max_retries=0)
def hang(self: Any, how: str) -> None:
    """Leaves its effect and does not come back: in a loop, deaf to the soft limit, or inside a C call."""
    note("B", self.request.id, int(self.attempt))
    if how == "c":
        # Signals come when the call returns.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        ctypes.CDLL(None).sleep(int(_LONGEST_HOLD_SECONDS))
    while True:
        try:
            while True:
                time.sleep(0.05)
        except SoftTimeLimitExceeded:
            if how != "deaf":
                raise
