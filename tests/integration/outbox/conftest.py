"""An outbox in each database that there is a server for, through SQLAlchemy and through Django."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings as django_settings
from django.db import connections, transaction
from sqlalchemy import Engine, MetaData, create_engine, select
from sqlalchemy.engine import make_url

from pointsman_client.outbox.django import Outbox as DjangoOutbox
from pointsman_client.outbox.rows import Rows, Values
from pointsman_client.outbox.sqlalchemy import Outbox
from pointsman_service.embedded.postgres import PostgresServer
from tests.peers.mariadb import MariaDB

_ALIAS = "shop"


@dataclass
class Desk:
    """One of them."""

    submit: Callable[[int], list[str]]
    """Commits so many tasks; their keys."""
    rolled_back: Callable[[], None]
    """Submits one in a transaction that comes to nothing."""
    written: Callable[[str, str], None]
    """Commits one with this key and this argument."""
    found: Callable[[str], str | None]
    """The key of the row that is found by one."""
    opened: Callable[[], Rows]
    """What a relay takes its rows from, another one each time."""
    seen: Callable[[], list[Values]]
    """Every row, in order."""


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """The server of applications that have that one."""
    with MariaDB() as server:
        yield server


@pytest.fixture(params=["postgresql", "sqlite", "mariadb"])
def shop_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """SQLAlchemy URL of an empty database of an application."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'shop.db'}"
        return
    if request.param == "mariadb":
        with in_mariadb(request.getfixturevalue("mariadb")) as url:
            yield url
        return
    postgres: PostgresServer = request.getfixturevalue("postgres")
    url = postgres.start().create_database().replace("+asyncpg", "+psycopg")
    yield url
    postgres.drop_database(str(make_url(url).database))


@contextmanager
def in_mariadb(server: MariaDB) -> Iterator[str]:
    """SQLAlchemy URL of an empty database of it."""
    import pymysql

    pymysql.install_as_MySQLdb()  # Django knows its driver by that name
    name = f"shop{secrets.token_hex(4)}"
    engine = create_engine(f"mariadb+pymysql://root@localhost/?unix_socket={server.socket}")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield f"mysql+pymysql://root@localhost/{name}?unix_socket={server.socket}"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}")
    engine.dispose()


@pytest.fixture(params=["sqlalchemy", "django"])
def desk(request: pytest.FixtureRequest, shop_url: str) -> Iterator[Desk]:
    """An outbox with nothing in it."""
    yield from _sqlalchemy(shop_url) if request.param == "sqlalchemy" else _django(shop_url)


def _sqlalchemy(url: str) -> Iterator[Desk]:
    metadata = MetaData()
    outbox = Outbox(metadata)
    engines: list[Engine] = []

    def connected() -> Engine:
        engines.append(create_engine(url))
        return engines[-1]

    engine = connected()
    metadata.create_all(engine)

    def submit(number: int) -> list[str]:
        with engine.begin() as connection:
            return [outbox.submit(connection, "echo", one).key for one in range(number)]

    def rolled_back() -> None:
        with engine.connect() as connection:
            outbox.submit(connection, "echo")

    def written(key: str, word: str) -> None:
        with engine.begin() as connection:
            outbox.with_options(idempotency_key=key).submit(connection, "echo", word)

    def found(key: str) -> str | None:
        with engine.connect() as connection:
            row = outbox.find(connection, key)
        return None if row is None else row.key

    def seen() -> list[Values]:
        with engine.connect() as connection:
            rows = connection.execute(select(outbox.table).order_by(outbox.table.c.id)).mappings()
            return [dict(one) for one in rows]

    try:
        yield Desk(submit, rolled_back, written, found, lambda: outbox.rows(connected()), seen)
    finally:
        for one in engines:
            one.dispose()


def _django(url: str) -> Iterator[Desk]:
    parts = make_url(url)
    if not django_settings.configured:
        django_settings.configure(INSTALLED_APPS=["pointsman_client.outbox.django"], USE_TZ=True, DATABASES={})
        django.setup()
    own: dict[str, Any] = {"ENGINE": f"django.db.backends.{parts.get_backend_name().replace('sqlite', 'sqlite3')}"}
    host = parts.query.get("host") or parts.query.get("unix_socket", "")
    own |= {"NAME": parts.database, "USER": parts.username or "", "HOST": host}
    connections.databases[_ALIAS] = connections.configure_settings({"default": own} | {_ALIAS: own})[_ALIAS]

    from django.core.management import call_command

    from pointsman_client.outbox.django.models import OutboxRow
    from pointsman_client.outbox.django.rows import DjangoRows

    call_command("migrate", database=_ALIAS, verbosity=0)
    outbox = DjangoOutbox(_ALIAS)

    def submit(number: int) -> list[str]:
        with transaction.atomic(_ALIAS):
            return [outbox.submit("echo", one).key for one in range(number)]

    def rolled_back() -> None:
        with transaction.atomic(_ALIAS):
            outbox.submit("echo")
            transaction.set_rollback(True, _ALIAS)

    def written(key: str, word: str) -> None:
        with transaction.atomic(_ALIAS):
            outbox.with_options(idempotency_key=key).submit("echo", word)

    def found(key: str) -> str | None:
        row = outbox.find(key)
        return None if row is None else str(row.key)

    def seen() -> list[Values]:
        return list(OutboxRow.objects.using(_ALIAS).order_by("id").values())

    try:
        yield Desk(submit, rolled_back, written, found, lambda: DjangoRows(_ALIAS), seen)
    finally:
        connections[_ALIAS].close()
        del connections[_ALIAS], connections.databases[_ALIAS]
