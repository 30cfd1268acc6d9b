"""The PostgreSQL of a test run, and where its data lies: what each test pays for a database of its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql

from pointsman_service.embedded.postgres import PostgresServer

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 * 1024**3
_PREFIX = "pointsman-tests-"
# A crash of the machine is nothing a test survives, so nothing waits for the disk.
_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@contextmanager
def quick_place(otherwise: Path) -> Iterator[Path]:
    """A directory of files that nobody needs afterwards: in memory where there is plenty, else ``otherwise``.

    A database is some five hundred files. To make them on a disk costs twenty times what it costs in memory, and more
    than all that most tests ask of it.
    """
    if not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _ROOM_BYTES:
        yield otherwise
        return
    _remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=_MEMORY, ignore_cleanup_errors=True) as one:
        yield Path(one)


def _remove_leftovers() -> None:
    """What a run that was killed could not remove."""
    for left in _MEMORY.glob(f"{_PREFIX}*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if left.stat().st_uid == os.geteuid() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)


class QuickPostgres(PostgresServer):
    """PostgreSQL that waits for no disk. A database is made and dropped by a statement, without a process for each."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir, settings=_SETTINGS)
        self._connection_of_ours: psycopg.Connection | None = None

    def create_database(self, name: str | None = None, template: str | None = None) -> str:
        """As ``PostgresServer`` does it."""
        name = name or f"test_{uuid4().hex[:12]}"
        self._execute("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, template or "template1")
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """As ``PostgresServer`` does it."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def stop(self) -> None:
        """Disconnect first: what is still open when it is forgotten is a warning."""
        if self._connection_of_ours is not None:
            self._connection_of_ours.close()
        super().stop()

    def _execute(self, statement: str, *names: str) -> None:
        composed = sql.SQL(statement).format(*map(sql.Identifier, names))
        connection = self._connected()
        try:
            connection.execute(composed)
        except psycopg.OperationalError:
            if not connection.broken:
                raise
            # A test has killed the server meanwhile.
            self._connected().execute(composed)

    def _connected(self) -> psycopg.Connection:
        if self._connection_of_ours is None or self._connection_of_ours.closed:
            self._connection_of_ours = psycopg.connect(self.dsn_of(), autocommit=True)
        return self._connection_of_ours
