"""One child process of a bench: what goes wrong with it ends the bench, and its last words are shown."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from pointsman_service.embedded.children import describe_exit
from tests.stand.environment import ROOT
from tests.stand.processes import Child

_STOP_SECONDS = 20.0


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started and that runs."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and its children have taken since it started, those that have ended too."""
    total = 0.0
    for one in family(pid):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


class Process(Child):
    """Starts when made; it does not outlive us."""

    def __init__(
        self, name: str, words: Sequence[str], environment: Mapping[str, str], log: Path, checkout: Path = ROOT
    ) -> None:
        super().__init__(name, words, environment, log, checkout)
        self.start()

    def wait(self, timeout_seconds: float) -> None:
        """Return when it has ended well. Raises SystemExit with the end of its log when it did not."""
        if self.process.wait(timeout_seconds) != 0:
            self._fail()

    def require_alive(self) -> None:
        """Raises SystemExit with the end of its log when it has ended."""
        if not self.is_running:
            self._fail()

    def end(self) -> None:
        """SIGTERM, and SIGKILL for what is left."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.kill()

    def _fail(self) -> None:
        how = describe_exit(self.process.returncode)
        raise SystemExit(f"{self.name} ended with {how}:\n{self.last_lines()}")
