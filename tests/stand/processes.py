"""Child processes of a test: output in a file, never outliving the test run."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from pointsman_service.embedded.children import ChildSpec, kill_group, spawn
from tests.stand.environment import ROOT
from tests.stand.waiting import until

_LINES_SHOWN = 60


class Child:
    """``python …`` in a process group of its own, from a checkout that need not be this one."""

    def __init__(
        self, name: str, words: Sequence[str], environment: Mapping[str, str], log: Path, checkout: Path = ROOT
    ) -> None:
        self.name = name
        self._command = (sys.executable, *words)
        self._environment = environment
        self._log = log
        self._checkout = checkout
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **variables: str) -> None:
        """Start it, again if need be, with these variables too; its output is appended."""
        assert not self.is_running
        with self._log.open("ab") as log:
            self._process = spawn(
                ChildSpec(self.name, self._command, {**self._environment, **variables}, self._checkout), log
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """As it was started last."""
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        """Of the process as it was started last."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    async def stop(self) -> int:
        """SIGTERM; its exit status once it has ended."""
        process = self.process
        process.send_signal(signal.SIGTERM)

        async def ended() -> bool:
            return process.poll() is not None

        await until(ended, f"{self.name} to end after SIGTERM")
        return process.returncode

    def freeze(self) -> None:
        """SIGSTOP: it does nothing until ``thaw``."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def freeze_all(self) -> None:
        """SIGSTOP, to its children too."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw_all(self) -> None:
        """SIGCONT, to its children too."""
        os.killpg(self.pid, signal.SIGCONT)

    def children(self) -> list[int]:
        """The processes it forked, as they are now."""
        try:
            return [child.pid for child in psutil.Process(self.pid).children()]
        except psutil.NoSuchProcess:
            return []

    async def ended(self) -> int:
        """Its exit status once it has ended by itself; what its group left behind is killed."""
        process = self.process

        async def gone() -> bool:
            return process.poll() is not None

        await until(gone, f"{self.name} to end")
        kill_group(process)
        return process.returncode

    def kill(self) -> None:
        """SIGKILL, to its children too. Harmless when it has ended."""
        if self._process is not None:
            kill_group(self._process)
            self._process.wait()

    def last_lines(self) -> str:
        """The end of its output."""
        if not self._log.exists():
            return "(not started)"
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LINES_SHOWN:])
