"""A real MariaDB, as an application may have it."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from pointsman_service.embedded.children import ChildSpec, kill_group, spawn
from tests import needs
from tests.stand.waiting import until_now

_PACKAGE = "mariadb-server-core"
_SMALL = ("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0")
_LOCK_SECONDS = 2
"""That a statement waits for a lock, so that one that should not wait at all is seen soon."""


@dataclass
class MariaDB:
    """A server on a socket of its own while its context is open; none of its data outlives it."""

    directory: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="maria")))
    """A short path: that of its socket may have 107 bytes."""

    def __enter__(self) -> Self:
        server = needs.program("mariadbd", _PACKAGE)
        data, self._log = self.directory / "data", self.directory / "log"
        data.mkdir()
        # An empty directory will do where nobody has rights, and so no table of them. The character set is that of
        # servers that were told none: a table has to bring its own.
        words = (
            "--no-defaults", f"--datadir={data}", "--user=root", "--skip-grant-tables", *_SMALL,
            f"--socket={self.socket}", "--skip-networking", "--character-set-server=latin1",
            f"--innodb-lock-wait-timeout={_LOCK_SECONDS}",
        )  # fmt: skip
        with self._log.open("ab") as log:
            self._process = spawn(ChildSpec("mariadbd", (str(server), *words)), log)
        until_now(self._answers, lambda: f"MariaDB to answer: {self._log.read_text()}")
        return self

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.directory / "socket"

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        return "ready for connections" in self._log.read_text()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kill_group(self._process)
        self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
