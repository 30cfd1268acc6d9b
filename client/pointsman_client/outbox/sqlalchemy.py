"""An outbox as a table beside one's own, written through SQLAlchemy."""

import sys
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, TypeAlias, overload

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Insert,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    select,
)  # fmt: skip
from sqlalchemy.dialects.mysql import DATETIME, LONGTEXT
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session, scoped_session

from pointsman_client.calling.saying import Saying
from pointsman_client.outbox.entry import Pending, entry_of
from pointsman_client.outbox.rows import Listed, RowState
from pointsman_client.outbox.sqlalchemy_rows import SqlRows, listed_of

if TYPE_CHECKING:
    # It needs greenlet, which who blocks may not have.
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

NAME = "pointsman_outbox"

Blocking: TypeAlias = "Session | scoped_session[Session] | Connection"
Waiting: TypeAlias = "AsyncSession | async_scoped_session[AsyncSession] | AsyncConnection"
_MYSQL = ("mysql", "mariadb")


def table_of(metadata: MetaData, name: str = NAME, schema: str | None = None) -> Table:
    """The table of an outbox, made a part of ``metadata``: ``create_all`` and Alembic's autogenerate see it there."""
    text = Text().with_variant(LONGTEXT(), *_MYSQL)
    # Without this it rounds to whole seconds.
    moment = DateTime(timezone=True).with_variant(DATETIME(fsp=6), *_MYSQL)
    table = Table(
        name,
        metadata,
        Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
        Column("key", String(255), nullable=False, comment="the Idempotency-Key"),
        Column("task_type", String(255), nullable=False),
        Column("body", text, nullable=False, comment="the submission, as it is sent"),
        Column("submitted_at", moment, nullable=False),
        Column("state", String(10), nullable=False, comment="waiting, sent or refused"),
        Column("next_at", moment, comment="when it is tried again, or deleted"),
        Column("claim", String(32), comment="of the relay that sends it"),
        Column("claimed_at", moment),
        Column("tries", Integer, nullable=False),
        Column("doubtful_since", moment, comment="it may have been stored since then"),
        Column("problem", text, comment="why it was not stored, as JSON"),
        Column("task_id", String(36)),
        Column("ended_at", moment, comment="when it was sent or refused"),
        schema=schema,
        # Whatever alphabet the database was told: arguments have any letter.
        mysql_default_charset="utf8mb4",
        mariadb_default_charset="utf8mb4",
    )
    Index(f"ix_{name}_next", table.c.state, table.c.next_at, table.c.id)
    Index(f"ix_{name}_key", table.c.key)
    return table


class Outbox(Saying):
    """Submissions in transactions of one's own: what ``submit`` was given is committed with everything else, or not at
    all, and becomes one task once a relay has seen it.

    ``metadata`` gets its table, named ``name``, in ``schema``.
    """

    def __init__(self, metadata: MetaData, *, name: str = NAME, schema: str | None = None) -> None:
        super().__init__()
        self.table = table_of(metadata, name, schema)

    def _with(self, options: Mapping[str, Any]) -> Self:
        other = object.__new__(type(self))
        Saying.__init__(other, options)
        other.table = self.table
        return other

    @overload
    def submit(self, on: Blocking, task_type: str, /, *args: Any, **kwargs: Any) -> Pending: ...

    @overload
    def submit(self, on: Waiting, task_type: str, /, *args: Any, **kwargs: Any) -> Awaitable[Pending]: ...

    def submit(self, on: Any, task_type: str, /, *args: Any, **kwargs: Any) -> Pending | Awaitable[Pending]:
        """Submit a task with these arguments as a part of the transaction of ``on``, a session or a connection; to be
        awaited where that is asynchronous. What else it says is said by ``with_options``.

        Raises ``TypeError`` and ``ValueError`` for what no submission can say, and ``ValueError`` for a connection
        that commits each statement by itself.
        """
        item = entry_of(task_type, args, kwargs, self._options)
        statement = self.table.insert().values(
            key=item.key,
            task_type=item.task_type,
            body=item.text.decode(),
            submitted_at=datetime.now(UTC),
            state=RowState.WAITING.value,
            tries=0,
        )
        pending = Pending(item.key, item.task_type)
        waiting = _waiting(on)
        if waiting is not None:
            return _wait_for(waiting, statement, pending)
        _execute(on, statement)
        return pending

    def find(self, on: Session | scoped_session[Session] | Connection, key: str) -> Listed | None:
        """The newest row with this key, as long as it is kept; None: there is none."""
        found = on.execute(_by_key(self.table, key)).mappings()
        # Some databases take keys for the same that differ in case.
        return next((listed_of(one) for one in found if one["key"] == key), None)

    def rows(self, engine: Engine) -> SqlRows:
        """What a ``Relay`` takes its rows from."""
        return SqlRows(engine, self.table)


@contextmanager
def rows_at(url: str, name: str = NAME, schema: str | None = None) -> Iterator[SqlRows]:
    """The rows of an outbox in the database with this URL, in SQLAlchemy's words, through connections of their own.
    Raises ``ValueError`` for what is no such URL, and does not quote it.
    """
    try:
        engine = create_engine(url, pool_pre_ping=True)
    except ArgumentError:
        raise ValueError("the URL of the database is none that SQLAlchemy reads") from None
    try:
        yield SqlRows(engine, table_of(MetaData(), name, schema))
    finally:
        engine.dispose()


def _waiting(on: Any) -> Any:
    """The session or connection that it is, where that is asynchronous; else None."""
    theirs = sys.modules.get("sqlalchemy.ext.asyncio")
    if theirs is None:
        return None
    if isinstance(on, theirs.async_scoped_session):
        return on()
    return on if isinstance(on, (theirs.AsyncSession, theirs.AsyncConnection)) else None


async def _wait_for(on: Any, statement: Insert, pending: Pending) -> Pending:
    await on.run_sync(_execute, statement)
    return pending


def _execute(on: Any, statement: Insert) -> None:
    if not hasattr(on, "connection"):
        raise TypeError(f"the first argument is a session or a connection, then comes the task type: not {on!r}")
    connection = on if isinstance(on, Connection) else on.connection(bind_arguments={"clause": statement})
    level = connection.get_execution_options().get("isolation_level", connection.default_isolation_level)
    if level == "AUTOCOMMIT":
        raise ValueError("this connection commits each statement by itself: an outbox needs a transaction")
    connection.execute(statement)


def _by_key(table: Table, key: str) -> Any:
    return select(table).where(table.c.key == key).order_by(table.c.id.desc())
