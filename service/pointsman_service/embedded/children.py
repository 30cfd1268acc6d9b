"""What a child process is, and how one is born."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pointsman_service.embedded import launch, locks
from pointsman_service.embedded.accounts import Account
from pointsman_service.embedded.errors import ChildFailed


@dataclass(frozen=True)
class StopStep:
    """One way to ask a child to stop, and how long to wait before the next, harsher one."""

    signal: signal.Signals
    grace_seconds: float


@dataclass(frozen=True)
class ChildSpec:
    """How to start and stop one child process. The name labels its lines and its log file."""

    name: str
    command: tuple[str, ...]
    """The first word is an absolute path."""
    environment: Mapping[str, str] | None = None
    """None: the parent's."""
    directory: Path | None = None
    account: Account | None = None
    """None: the parent's."""
    stop_steps: tuple[StopStep, ...] = (StopStep(signal.SIGTERM, 10),)
    """Tried in order; after the last the whole process group is killed."""
    death_signal: signal.Signals = signal.SIGKILL
    """What the child gets when its parent dies (Linux only)."""
    lock: Path | None = None
    """Held by the child and all its descendants while any of them lives."""
    on_console: Callable[[str], bool] | None = None
    """Which lines are worth the console (None: all); the log file gets all of them."""


class StillRunning(ChildFailed):
    """Processes of an earlier run still hold the lock of the child."""

    def __init__(self, name: str) -> None:
        super().__init__(f"processes of an earlier {name} are still running on its data")


def spawn(spec: ChildSpec, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the child in a session of its own, so that the terminal's Ctrl-C reaches only us.

    Call it from a thread that lives as long as the child may: on Linux the child gets its death signal when the thread
    that spawned it ends. Raises StillRunning when the lock is held.
    """
    descriptor = None
    if spec.lock is not None:
        descriptor = locks.take(spec.lock)
        if descriptor is None:
            raise StillRunning(spec.name)
    try:
        return subprocess.Popen(
            launcher(spec.command, spec.account, spec.death_signal),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=spec.directory,
            env=spec.environment,
            start_new_session=True,
            pass_fds=() if descriptor is None else (descriptor,),
        )
    finally:
        if descriptor is not None:
            os.close(descriptor)


def launcher(
    command: tuple[str, ...], account: Account | None, death_signal: signal.Signals = signal.SIGKILL
) -> list[str]:
    """The command line that becomes ``command`` after dropping root and tying its life to this process."""
    uid, gid = (-1, -1) if account is None else (account.uid, account.gid)
    tie = [str(os.getpid()), str(int(death_signal)), str(uid), str(gid)]
    return [sys.executable, "-I", "-S", launch.__file__, *tie, *command]


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL whatever is left of the child's process group. No error when nothing is."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def describe_exit(returncode: int) -> str:
    """``exit status 3`` or ``signal 9 SIGKILL``."""
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        return f"signal {-returncode} {signal.Signals(-returncode).name}"
    except ValueError:
        return f"signal {-returncode}"
