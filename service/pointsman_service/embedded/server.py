"""What PostgreSQL and Valkey have in common: a directory, a foreground process, a condition that says it is ready."""

import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from pointsman_service.embedded import locks
from pointsman_service.embedded.accounts import Account, server_account
from pointsman_service.embedded.children import ChildSpec, describe_exit, kill_group, spawn
from pointsman_service.embedded.errors import ChildFailed, DataDirUnusable
from pointsman_service.embedded.runtime_dir import make_runtime_dir, remove_runtime_dir

_EARLIER_RUN_SECONDS = 15.0


class Server(ABC):
    """One server on one data directory.

    Alone it is a context manager with ``start``, ``stop`` and ``kill``, for tests. Under a supervisor only ``prepare``,
    ``spec`` and ``is_ready`` are used, and the supervisor owns the process. Either way its URL stays the same over
    restarts, and data in ``data_dir`` is kept.
    """

    name: str

    def __init__(self, data_dir: Path, runtime_dir: Path | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.account: Account | None = server_account(self.data_dir)
        self._given_runtime_dir = runtime_dir
        self._runtime_dir = runtime_dir
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect."""

    @abstractmethod
    def prepare(self) -> None:
        """Make directories and data that the process needs. Repeating it is harmless."""

    @abstractmethod
    def spec(self) -> ChildSpec:
        """How to start and stop the process."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the server answers requests now. Takes at most about a second."""

    @property
    def lock_path(self) -> Path:
        """Locked while any process of the server lives."""
        return self.data_dir.with_name(f"{self.data_dir.name}.lock")

    @property
    def log_path(self) -> Path:
        """What the process says when it runs alone."""
        return self.data_dir.with_name(f"{self.data_dir.name}.log")

    @property
    def runtime_dir(self) -> Path:
        """A short-lived directory, made when first asked for and removed by ``close``."""
        if self._runtime_dir is None:
            self._runtime_dir = make_runtime_dir()
        return self._runtime_dir

    @property
    def pid(self) -> int:
        """The process id of the running server. Raises RuntimeError when it is not running."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    def start(self, timeout_seconds: float = 60.0) -> Self:
        """Start it and wait until it is ready. Nothing to do when it runs.

        Raises ChildFailed when it stops or is not ready in time.
        """
        if self._process is not None and self._process.poll() is None:
            return self
        self.prepare()
        self.wait_for_earlier_run()
        with self.log_path.open("ab") as log:
            self._process = spawn(self.spec(), log)
        deadline = time.monotonic() + timeout_seconds
        while not self.is_ready():
            if (returncode := self._process.poll()) is not None:
                self._process = None
                raise ChildFailed(f"{self.name} stopped with {describe_exit(returncode)}, see {self.log_path}")
            if time.monotonic() > deadline:
                self.kill()
                raise ChildFailed(f"{self.name} was not ready within {timeout_seconds:.0f} s, see {self.log_path}")
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """Stop it in its own orderly way, then harsher; return when all its processes are gone."""
        if self._process is None:
            return
        for step in self.spec().stop_steps:
            self._process.send_signal(step.signal)
            try:
                self._process.wait(step.grace_seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash would; return when all its processes are gone."""
        if self._process is None:
            return
        self._process.kill()
        kill_group(self._process)
        self._process.wait()
        self._process = None
        self.wait_for_earlier_run()

    def is_vacant(self) -> bool:
        """Whether no process of this server, or of one before it, is left on the data."""
        return not self.lock_path.exists() or locks.is_free(self.lock_path)

    def wait_for_earlier_run(self) -> None:
        """Return when no process of an earlier run is left on the data. Raises ChildFailed when one stays."""
        if not locks.wait_free(self.lock_path, _EARLIER_RUN_SECONDS):
            raise ChildFailed(f"a {self.name} of an earlier run is still running on {self.data_dir}")

    def close(self) -> None:
        """Stop it and remove what was made for this run; the data stays."""
        self.stop()
        if self._given_runtime_dir is None and self._runtime_dir is not None:
            remove_runtime_dir(self._runtime_dir)
            self._runtime_dir = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuse_foreign_data(self) -> None:
        try:
            list(self.data_dir.iterdir())
        except PermissionError:
            owner = self.data_dir.stat().st_uid
            raise DataDirUnusable(self.data_dir, f"it belongs to another user (uid {owner})") from None
