"""A real Valkey on 127.0.0.1."""

import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from service.embedded.accounts import make_private
from service.embedded.binaries import reachable_valkey
from service.embedded.children import ChildSpec, StopStep
from service.embedded.ports import HOST, free_port
from service.embedded.server import Server


class ValkeyServer(Server):
    """Valkey 9.1 with its data in ``data_dir``, on a port it keeps over restarts (``port``, else a free one).

    With ``appendonly`` every write reaches the kernel before its answer and the disk within a second; without it
    nothing is kept. Nothing is evicted. ``settings`` are server settings that go before these.
    Raises WheelMissing, DataDirUnusable, CannotDropRoot or ChildFailed when started.
    """

    name = "valkey"

    def __init__(
        self,
        data_dir: Path,
        runtime_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        *,
        appendonly: bool = True,
        port: int | None = None,
    ) -> None:
        super().__init__(data_dir, runtime_dir)
        self.settings = dict(settings or {})
        self.appendonly = appendonly
        self.port = port or free_port()
        self._binary: Path | None = None

    @property
    def url(self) -> str:
        """The Redis URL of database 0."""
        return f"redis://{HOST}:{self.port}/0"

    def prepare(self) -> None:
        """Make the data directory."""
        self._binary = reachable_valkey(self.account, self.runtime_dir)
        if self.data_dir.exists():
            self._refuse_foreign_data()
        make_private(self.data_dir, self.account)

    def spec(self) -> ChildSpec:
        """The server in the foreground; SIGTERM makes it write what it holds and stop."""
        assert self._binary is not None, "prepare() comes first"
        settings = {
            "bind": HOST,
            "port": str(self.port),
            "appendonly": "yes" if self.appendonly else "no",
            "appendfsync": "everysec",
            # The append-only file keeps the data; snapshots beside it would only cost forks.
            "save": "",
            "maxmemory-policy": "noeviction",
            **self.settings,
        }
        return ChildSpec(
            name=self.name,
            command=(str(self._binary), *(word for key, value in settings.items() for word in (f"--{key}", value))),
            # Its "dir" stays "./", so directories above may be closed to the account it runs as.
            directory=self.data_dir,
            account=self.account,
            stop_steps=(StopStep(signal.SIGTERM, 10),),
            lock=self.lock_path,
            on_console=_is_warning,
        )

    def is_ready(self) -> bool:
        """Whether it answers PING, which it does not while it loads data."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _is_warning(line: str) -> bool:
    return " # " in line and "overcommit" not in line and "bye bye" not in line
