"""A real PostgreSQL on a Unix socket."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from pointsman_service.embedded.accounts import can_reach, hand_over, has_name, make_private
from pointsman_service.embedded.binaries import POSTGRES_MAJOR, postgres_home, reachable_postgres
from pointsman_service.embedded.children import ChildSpec, StopStep, launcher
from pointsman_service.embedded.errors import CannotDropRoot, ChildFailed, OtherPostgresVersion
from pointsman_service.embedded.server import Server

USER = "app"
_WHERE_I_AM = Path("/proc/self/cwd")
_STOP_STEPS = (StopStep(signal.SIGINT, 20), StopStep(signal.SIGQUIT, 8))
"""Fast shutdown; then immediate, which still ends the backends."""


class PostgresServer(Server):
    """PostgreSQL 18 on ``data_dir``, made by initdb when missing: UTF-8, C.UTF-8 collation, settings at their defaults.

    It listens on a Unix socket in a directory that only its own user (and root) may enter, and trusts who gets there.
    ``settings`` are server settings that go before the defaults, such as ``{"fsync": "off"}`` for tests.
    Raises WheelMissing, OtherPostgresVersion, DataDirUnusable, CannotDropRoot or ChildFailed when started.
    """

    name = "postgres"

    def __init__(
        self, data_dir: Path, runtime_dir: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(data_dir, runtime_dir)
        self.settings = dict(settings or {})
        self._home: Path | None = None

    @property
    def socket_dir(self) -> Path:
        """The host that clients connect to."""
        return self.runtime_dir / "socket"

    @property
    def url(self) -> str:
        """The SQLAlchemy URL (asyncpg) of the database ``postgres``."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The SQLAlchemy URL (asyncpg) of a database on this server."""
        return self.dsn_of(database).replace("postgresql://", "postgresql+asyncpg://", 1)

    def dsn_of(self, database: str = "postgres") -> str:
        """The libpq URI of a database on this server, as asyncpg and psql take it."""
        return f"postgresql://{USER}@/{quote(database)}?host={quote(str(self.socket_dir))}"

    def create_database(self, name: str | None = None, template: str | None = None) -> str:
        """Make a database and return its SQLAlchemy URL.

        ``name`` defaults to a new unique one; ``template`` is copied, and nobody may be connected to it meanwhile.
        """
        name = name or f"test_{uuid4().hex[:12]}"
        self._tool("createdb", *(["--template", template] if template else []), name)
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, if it exists, and disconnect who uses it."""
        self._tool("dropdb", "--force", "--if-exists", name)

    def prepare(self) -> None:
        """Refuse data of another version, run initdb on none, make the socket's directory."""
        self._home = reachable_postgres(self.account, self.runtime_dir)
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        if self.data_dir.exists():
            self._refuse_foreign_data()
            self._refuse_other_version()
            hand_over(self.data_dir, self.account)
        else:
            self._initdb(self._home)
        make_private(self.socket_dir, self.account)

    def spec(self) -> ChildSpec:
        """The postmaster in the foreground; it stops by fast shutdown."""
        assert self._home is not None, "prepare() comes first"
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            **self.settings,
        }
        return ChildSpec(
            name=self.name,
            command=(
                str(self._home / "bin" / "postgres"),
                "-D",
                str(self._seen_by_server(self.data_dir)),
                *(word for key, value in settings.items() for word in ("-c", f"{key}={value}")),
            ),
            directory=self.data_dir,
            environment=_plain_environment(),
            account=self.account,
            stop_steps=_STOP_STEPS,
            # Immediate shutdown: the backends go with the postmaster, and no shared memory stays behind.
            death_signal=signal.SIGQUIT,
            lock=self.lock_path,
            on_console=_is_complaint,
        )

    def is_ready(self) -> bool:
        """Whether the server accepts connections."""
        asked = subprocess.run(
            [str(postgres_home() / "bin" / "pg_isready"), "-q", "-t", "1", *self._connection(), "-d", "postgres"],
            check=False,
            env=_plain_environment(),
        )
        return asked.returncode == 0

    def _initdb(self, home: Path) -> None:
        uid = os.geteuid() if self.account is None else self.account.uid
        if not has_name(uid):
            raise ChildFailed(
                f"user {uid} has no name on this machine, and initdb insists on one. Add it to /etc/passwd, run as "
                "another user, or name your own server with POINTSMAN_DATABASE_URL."
            )
        fresh = self.data_dir.with_name(f"{self.data_dir.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        make_private(fresh, self.account)
        command = (
            str(home / "bin" / "initdb"),
            "-D", str(self._seen_by_server(fresh)),
            "-U", USER, "-A", "trust", "-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            *(["--no-sync"] if self.settings.get("fsync") == "off" else []),
        )  # fmt: skip
        made = subprocess.run(
            launcher(command, self.account),
            cwd=fresh,
            env=_plain_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
            text=True,
            errors="replace",
        )
        if made.returncode != 0:
            said = " ".join(made.stdout.split()[-60:])
            raise ChildFailed(f"initdb could not make {self.data_dir}: {said}")
        # Renamed when complete, so that a kill in between leaves no half-made cluster.
        fresh.rename(self.data_dir)

    def _seen_by_server(self, directory: Path) -> Path:
        """How the server may name a directory it is started in, though the ones above may be closed to it (/root)."""
        if can_reach(directory, self.account):
            return directory
        if not _WHERE_I_AM.exists():
            raise CannotDropRoot(f"{directory} is closed to other users")
        return _WHERE_I_AM

    def _refuse_other_version(self) -> None:
        version_file = self.data_dir / "PG_VERSION"
        found = version_file.read_text().strip() if version_file.exists() else "of an unknown version"
        if found != str(POSTGRES_MAJOR):
            raise OtherPostgresVersion(self.data_dir, found, POSTGRES_MAJOR)

    def _connection(self) -> tuple[str, ...]:
        return ("-h", str(self.socket_dir), "-U", USER)

    def _tool(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(postgres_home() / "bin" / name), *self._connection(), *arguments],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env=_plain_environment(),
        )
        if done.returncode != 0:
            raise ChildFailed(f"{name} failed: {done.stderr.strip()}")


def _plain_environment() -> dict[str, str]:
    """Without the PG* variables that would redirect the server's tools, and in English."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _is_complaint(line: str) -> bool:
    if "the database system is " in line:
        # Starting, recovering or stopping: the answer to whoever asked too early, ourselves included.
        return False
    return any(level in line for level in ("WARNING:", "ERROR:", "FATAL:", "PANIC:"))
