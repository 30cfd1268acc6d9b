"""One child process of a bench, with a log of its own."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from pointsman_service.embedded.children import ChildSpec, describe_exit, kill_group, spawn

_STOP_SECONDS = 20.0


class Process:
    """Starts when made; it does not outlive us."""

    def __init__(
        self, name: str, command: tuple[str, ...], environment: Mapping[str, str], directory: Path, log: Path
    ) -> None:
        self._name = name
        self._log = log
        with log.open("ab") as stream:
            self._process = spawn(ChildSpec(name, command, environment, directory), stream)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait(self, timeout_seconds: float) -> None:
        """Return when it has ended well. Raises SystemExit with the end of its log when it did not."""
        if self._process.wait(timeout_seconds) != 0:
            self._fail()

    def require_alive(self) -> None:
        """Raises SystemExit with the end of its log when it has ended."""
        if self._process.poll() is not None:
            self._fail()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for what is left."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        kill_group(self._process)
        self._process.wait()

    def _fail(self) -> None:
        how = describe_exit(self._process.returncode)
        raise SystemExit(f"{self._name} ended with {how}:\n{self._log.read_text()[-4000:]}")
