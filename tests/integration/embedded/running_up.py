"""The supervisor as a real process, every process below it, and what they answer."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from uuid import uuid4

import psutil
import pytest

from pointsman_service.embedded.binaries import postgres_home
from tests.stand.waiting import DEADLINE_SECONDS, until_now

MARK = "POINTSMAN_TEST_MARK"
STRANGER = 65534
"""``nobody``: an ordinary user."""
NAMELESS = 12345
"""A user that no user database knows, as containers have them."""


class Up:
    """One supervisor, started from ``fake_up.py``. Every process below it carries a mark in its environment."""

    def __init__(self, command: list[str], environment: Mapping[str, str], user: int | None = None) -> None:
        self.mark = uuid4().hex
        self.output = ""
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment, MARK: self.mark},
            cwd="/",
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )

    def wait_for(self, text: str, timeout_seconds: float = DEADLINE_SECONDS, times: int = 1) -> None:
        """Read its output until ``text`` was said."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout_seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while self.output.count(text) < times:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    pytest.fail(f"{text!r} was not said within {timeout_seconds} s:\n{self.output}")
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    pytest.fail(f"ended without saying {text!r}:\n{self.output}")
                self.output += data.decode()

    def wait_end(self, timeout_seconds: float = DEADLINE_SECONDS) -> int:
        """Read the rest of its output and return its exit status."""
        rest, _ = self.process.communicate(timeout=timeout_seconds)
        self.output += rest.decode()
        return self.process.wait()

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def living(self) -> list[psutil.Process]:
        """Every live process that carries the mark, the supervisor included."""
        return [process for process in psutil.process_iter() if _carries(process, self.mark)]

    def child(self, word: str) -> psutil.Process:
        """The direct child whose command line contains ``word``."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if word in " ".join(child.cmdline()))

    def expect_nothing_left(self) -> None:
        """Fail when any process outlives the supervisor."""
        until_now(lambda: not self.living(), f"the end of {self.living()}")

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        for process in self.living():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def psql(dsn: str, sql: str) -> str:
    """The first column of the answer. Raises CalledProcessError with what psql said."""
    command = [str(postgres_home() / "bin" / "psql"), "-X", "-A", "-t", "-q", "-d", dsn, "-c", sql]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


StartUp = Callable[..., Up]
