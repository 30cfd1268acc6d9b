"""The door to the database: transactions, and its errors in our words."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection as Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from pointsman_contract.server_words import said_by, server_words
from pointsman_service.absence import Absence
from pointsman_service.errors import DatabaseAway, ExpectedFault, ServiceError
from pointsman_service.store.listeners import Listeners

__all__ = [
    "Connection",
    "ConnectionLost",
    "DatabaseTrouble",
    "LimitMet",
    "LockNotGot",
    "RowRefused",
    "StatementRefused",
    "Store",
    "cut_off",
]


class ConnectionLost(ExpectedFault):
    """The connection broke under a statement: it is not known whether it was committed."""


class RowRefused(ServiceError):
    """The database refused a value. The message names no values."""


class LimitMet(RowRefused):
    """A value that we let pass is more than the database can hold: a fault of ours, not of whoever gave it."""


class StatementRefused(ServiceError):
    """The database does not know what a statement speaks of, or may not do it: its schema is not the one of this
    release, or the statement is wrong. No value is at fault.
    """


class LockNotGot(ExpectedFault):
    """Another transaction held a row for too long."""


class DatabaseTrouble(ExpectedFault):
    """The database answers, but cannot do this now: shutting down, out of space, out of connections, or too slow."""

    @property
    def took_too_long(self) -> bool:
        """Whether ``statement_timeout`` ended a statement."""
        return _CANCELLED in str(self)


_CANCELLED = "(57014)"
"""SQLSTATE query_canceled, as ``_translate`` puts it."""
_CANCELLED_STATE = "57014"
_SPOILING = frozenset({_CANCELLED_STATE, "25P01", "25P02"})
"""A statement was cancelled, which may have been one that begins or ends a transaction; or one was met in the wrong
state, which only follows from that.
"""
_LOCK_STATES = frozenset({"55P03", "40P01", "40001"})
_TROUBLE_CLASSES = ("53", "57", "58", "25", "XX", "08", "28", "3D", "40", "55", "0A", "26")
"""Resources, operator intervention, system error, read-only, internal, connection, authorization, no such database,
rollback, state, a plan that a migration made stale (0A, 26): it passes."""
_VALUE_CLASSES = ("22", "23")
"""Data and constraints: only these are the fault of a value."""
_LIMIT_CLASS = "54"


def _translate(error: DBAPIError) -> Exception:
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return ConnectionLost("the connection to the database broke")
    if state in _LOCK_STATES:
        return LockNotGot(f"lock not granted ({state})")
    if not state or state.startswith(_TROUBLE_CLASSES):
        return DatabaseTrouble(f"{server_words(error)} ({state or 'no SQLSTATE'})")
    constraint = getattr(error.orig, "constraint_name", None)
    words = f"{type(error.orig).__name__} ({state}{f', {constraint}' if constraint else ''})"
    if state.startswith(_VALUE_CLASSES):
        return RowRefused(words)
    return LimitMet(words) if state.startswith(_LIMIT_CLASS) else StatementRefused(f"{server_words(error)} ({state})")


class Store:
    """One process's pool of connections, and a second one where its commits have their own.

    All three context managers raise ``DatabaseAway`` when no connection can be had (nothing was written),
    ``ConnectionLost`` (outcome unknown), ``LockNotGot``, ``RowRefused``, ``StatementRefused`` or ``DatabaseTrouble``.
    """

    def __init__(self, engine: AsyncEngine, listeners: Listeners = (), *, commits: AsyncEngine | None = None) -> None:
        """``commits``: the pool of ``database.create_engines_of_api`` that plans each statement once."""
        self._engine = engine
        self._commits = None if commits is None else commits.execution_options(isolation_level="AUTOCOMMIT")
        self.listeners = listeners
        """Who is told when tasks end, in the transaction in which they do."""
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._absence = Absence("PostgreSQL", [engine.url.password])
        if commits is not None:
            _lose_together(engine, commits)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
        if self._commits is not None:
            await self._commits.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction, committed at the end of the block, rolled back when it raises."""
        async with self._connect(self._engine) as connection, _translated():
            try:
                async with connection.begin():
                    yield connection
            except Exception as error:
                if await _is_spoilt(connection, error):
                    await connection.invalidate()
                raise

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Connection]:
        """A connection on which each statement commits by itself: one round trip instead of three."""
        async with self._connect(self._single) as connection, _translated():
            yield connection

    @asynccontextmanager
    async def planned_once(self) -> AsyncIterator[Connection]:
        """As ``statement``, for one whose plan is to be kept: it must stay good however its tables grow. Where the
        process has no second pool, this is ``statement``.
        """
        if self._commits is None:
            async with self.statement() as connection:
                yield connection
            return
        async with self._connect(self._commits) as connection, _translated():
            yield connection

    @asynccontextmanager
    async def _connect(self, engine: AsyncEngine) -> AsyncIterator[Connection]:
        try:
            connection = await engine.connect()
        except (DBAPIError, PoolTimeout, OSError, TimeoutError) as error:
            words, kind = self._absence.began(error), type(said_by(error)).__name__
            away = DatabaseAway(f"The database does not answer ({kind}); nothing was stored. Try again.")
            # What is no answer of PostgreSQL's names its address. Who only waited was told nothing.
            away.said = words if isinstance(error, DBAPIError) else "" if "Timeout" in kind else kind
            raise away from error
        self._absence.ended()
        try:
            yield connection
        finally:
            await connection.close()


@dataclass
class Cut:
    """Whether a part of a transaction was cut off."""

    short: bool = False


@asynccontextmanager
async def cut_off(connection: Connection) -> AsyncIterator[Cut]:
    """A part of a transaction that ``statement_timeout`` may end, which is no error: what it did is undone, what it set
    too, and the transaction goes on.
    """
    cut = Cut()
    nested = await connection.begin_nested()
    try:
        yield cut
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _CANCELLED_STATE:
            raise
        cut.short = True
        await nested.rollback()
    else:
        await nested.commit()


def _lose_together(one: AsyncEngine, other: AsyncEngine) -> None:
    """When a connection of either is lost, nobody gets one of the other that was opened before: the server has probably
    lost them all, and each would tell somebody that the outcome is unknown.
    """
    for engine, beside in ((one, other), (other, one)):

        def lost(context: ExceptionContext, beside: AsyncEngine = beside) -> None:
            if context.is_disconnect:
                # As SQLAlchemy marks the pool of the connection itself; it has no public name.
                beside.sync_engine.pool._invalidate_time = time.time()

        event.listen(engine.sync_engine, "handle_error", lost)


async def _is_spoilt(connection: Connection, error: Exception) -> bool:
    """Whether nobody may use the connection again.

    The driver takes a transaction whose BEGIN or COMMIT was cancelled for begun or over, whatever PostgreSQL says: the
    next user would be in the aborted one, or never in any.
    """
    if connection.invalidated:
        return False
    if isinstance(error, (OSError, TimeoutError)):
        return True
    if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _SPOILING:
        return True
    driver = (await connection.get_raw_connection()).driver_connection
    return driver is not None and bool(driver.is_in_transaction())


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _translate(error) from error
    except (OSError, TimeoutError) as error:
        raise ConnectionLost(f"the database did not answer ({type(error).__name__})") from error
