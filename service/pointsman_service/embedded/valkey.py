"""A real Valkey on 127.0.0.1."""

import os
import re
import secrets
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pointsman_service.embedded.accounts import Account, hand_over, make_private
from pointsman_service.embedded.binaries import reachable_valkey
from pointsman_service.embedded.children import ChildSpec, StopStep
from pointsman_service.embedded.ports import HOST, free_port
from pointsman_service.embedded.server import Server

_FILE = "password.conf"
"""With the data it is kept; the server reads the one in the runtime directory, which it can reach from anywhere."""
_LINE = re.compile(r"requirepass ([0-9a-f]{64})\n")


class ValkeyServer(Server):
    """Valkey 9.1 with its data in ``data_dir``, on a port it keeps over restarts (``port``, else a free one).

    With ``appendonly`` every write reaches the kernel before its answer and the disk within a second; without it
    nothing is kept. Nothing is evicted. ``settings`` are server settings that go before these.
    With ``has_password`` nobody gets in without the one that ``prepare`` draws for this data; it stands in a file that
    only its owner reads, and on no command line.
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
        has_password: bool = False,
    ) -> None:
        super().__init__(data_dir, runtime_dir)
        self.settings = dict(settings or {})
        self.appendonly = appendonly
        self.port = port or free_port()
        self._binary: Path | None = None
        self._has_password = has_password
        self._password: str | None = None

    @property
    def url(self) -> str:
        """The Redis URL of database 0, with the password once ``prepare`` has drawn it."""
        login = "" if self._password is None else f":{self._password}@"
        return f"redis://{login}{HOST}:{self.port}/0"

    def prepare(self) -> None:
        """Make the data directory."""
        self._binary = reachable_valkey(self.account, self.runtime_dir)
        if self.data_dir.exists():
            self._refuse_foreign_data()
        make_private(self.data_dir, self.account)
        if self._has_password:
            self._password = _kept_password(self.data_dir / _FILE, self.account)
            _write_password(self.runtime_dir / _FILE, self._password, self.account)

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
        file = () if self._password is None else (str(self.runtime_dir / _FILE),)
        return ChildSpec(
            name=self.name,
            command=(
                str(self._binary),
                *file,
                *(word for key, value in settings.items() for word in (f"--{key}", value)),
            ),
            # Its "dir" stays "./", so directories above may be closed to the account it runs as.
            directory=self.data_dir,
            account=self.account,
            stop_steps=(StopStep(signal.SIGTERM, 10),),
            lock=self.lock_path,
            on_console=_is_warning,
        )

    def is_ready(self) -> bool:
        """Whether the server answers PING, which it does not while it loads data."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                if self._password is not None:
                    connection.sendall(f"AUTH {self._password}\r\n".encode())
                    if not connection.recv(64).startswith(b"+OK"):
                        return False
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _kept_password(file: Path, account: Account | None) -> str:
    """The password that ``file`` configures; drawn, and written there for its owner alone, when there is none."""
    with suppress(OSError):
        if found := _LINE.fullmatch(file.read_text(encoding="ascii")):
            return found[1]
    password = secrets.token_hex(32)
    _write_password(file, password, account)
    return password


def _write_password(file: Path, password: str, account: Account | None) -> None:
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
        stream.write(f"requirepass {password}\n")
    hand_over(new, account)
    new.replace(file)


def _is_warning(line: str) -> bool:
    return " # " in line and "overcommit" not in line and "bye bye" not in line
