"""Who runs loops that need to run once: a row with a time to live on the database clock, and a lock that ends with its
holder.

A process that dies is replaced as soon as somebody asks: its connection ends, and with it the lock that says that it is
there. One that is frozen or cut off keeps both, and loses the lead after ``ttl_seconds``. Who holds the row and not the
lock is gone, or of a release that had none.

A lead has no fencing number, for nothing that a leader writes needs one: it saves work and decides nothing. One that
was frozen past its lead begins no further pass (``LedLoops``), and what is left of the pass under way is fenced by what
it changes. The recorder moves its position by compare-and-set in the transaction of the rows; the dispatcher sends only
rows that wait, and the gate turns away what was sent twice; each sweep says in its first lines what makes it safe in
every process.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import text

from pointsman_service.store.store import Connection, Store

_ENTER = text("SELECT pg_advisory_lock(hashtextextended(:holder, 0))")
# Whose lock can be had is gone: its connection has ended, long before its lead runs out.
_FREE = text("""
    SELECT NOT EXISTS (
        SELECT FROM leader WHERE name = :name AND NOT holder = ANY(CAST(:ours AS text[])) AND expires_at >= now()
            AND NOT pg_try_advisory_xact_lock_shared(hashtextextended(holder, 0))
    )
""")
_TAKE = text("""
    INSERT INTO leader AS old (name, holder, expires_at)
    VALUES (:name, :holder, now() + CAST(:ttl AS float8) * interval '1 second')
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
    WHERE old.holder = ANY(CAST(:ours AS text[])) OR old.expires_at < now()
        OR pg_try_advisory_xact_lock_shared(hashtextextended(old.holder, 0))
    RETURNING name
""")
# Without a holder: a process that ended in order is told from one that died.
_YIELD = text("""
    UPDATE leader SET expires_at = now(), holder = '' WHERE name = :name AND holder = ANY(CAST(:ours AS text[]))
""")
_HELD = text("SELECT EXISTS (SELECT FROM leader WHERE name = :name AND expires_at >= now())")
# A lock on a number of 64 bits stands there as its two halves.
_HOLDERS = text("""
    SELECT l.name, l.holder, extract(epoch FROM l.expires_at - now())::float8 AS left_seconds, a.application_name,
        extract(epoch FROM now() - a.backend_start)::float8 AS connected_seconds, k.pid IS NOT NULL AS is_there
    FROM leader l
    LEFT JOIN pg_locks k ON k.locktype = 'advisory' AND k.objsubid = 1 AND k.granted AND k.mode = 'ExclusiveLock'
        AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (k.classid::bigint << 32 | k.objid::bigint) = hashtextextended(l.holder, 0)
    LEFT JOIN pg_stat_activity a ON a.pid = k.pid
""")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has, or last had, one lead."""

    holder: str
    """Machine, process and a number; empty when it ended in order."""
    left_seconds: float
    """Until the lead ends unless it is renewed."""
    application: str | None
    """What the process calls itself; None: it has no connection, or our account may not know."""
    connected_seconds: float | None
    """Since it opened its connection, which it led at no time before."""
    is_there: bool
    """Whether its connection stands. False of one that died, or is of a release that had no lock."""

    @property
    def machine(self) -> str:
        """Where it runs."""
        return self.holder.rsplit(":", 2)[0]

    @property
    def pid(self) -> str:
        """Its process there; empty for a holder that does not say."""
        parts = self.holder.rsplit(":", 2)
        return parts[1] if len(parts) == 3 else ""


async def holders(connection: Connection) -> dict[str, Holder]:
    """Who has each lead that anybody ever had, by its name."""
    rows = await connection.execute(_HOLDERS)
    return {
        row.name: Holder(row.holder, row.left_seconds, row.application_name, row.connected_seconds, row.is_there)
        for row in rows
    }


class Presence:
    """That this process is there: one connection kept open, with a lock that others find free once it is gone."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = asyncio.Lock()
        self._exits = AsyncExitStack()
        self._connection: Connection | None = None
        self.names: list[str] = []
        """What this process calls itself as a holder now, and before its connection last broke."""

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Connection]:
        """The connection, for statements that commit by themselves. When one fails, the next call opens another."""
        async with self._turn:
            entered = self._connection is not None
            if self._connection is None:
                self._connection = await self._exits.enter_async_context(self._store.statement())
                # Another name each time: a server that has not noticed the end of a connection keeps its lock.
                self.names = [f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}", *self.names[:1]]
            connection = self._connection
            try:
                if not entered:
                    await connection.execute(_ENTER, {"holder": self.names[0]})
                yield connection
            except BaseException as error:
                # Not back into the pool: the lock would stay.
                await connection.invalidate()
                self._connection, exits, self._exits = None, self._exits, AsyncExitStack()
                await exits.__aexit__(type(error), error, error.__traceback__)
                raise

    async def close(self) -> None:
        """Leave: the lock is free."""
        async with self._turn:
            if self._connection is not None:
                await self._connection.invalidate()
                self._connection = None
            await self._exits.aclose()


class Leadership:
    """The claim of one process to one lead."""

    def __init__(self, presence: Presence, name: str, ttl_seconds: float) -> None:
        self._presence = presence
        self._name = name
        self._ttl_seconds = ttl_seconds
        self._asked_at: float | None = None
        """When the lead was last taken or renewed, before the database said so; None: another process leads."""

    @property
    def lasts(self) -> bool:
        """Whether this process leads, and the time to live has not passed here: nobody else can have the lead, but
        after a connection broke.
        """
        return self._asked_at is not None and time.monotonic() < self._asked_at + self._ttl_seconds

    async def leads(self) -> bool:
        """Whether this process leads; the lead is taken or renewed when a third of its time is over.

        While another process leads, that is one statement that writes nothing. Raises the store's errors.
        """
        now = time.monotonic()
        if self._asked_at is not None and now < self._asked_at + self._ttl_seconds / 3:
            return True
        async with self._presence.statement() as connection:
            ours = {"name": self._name, "ours": self._presence.names}
            taken = False
            if self._asked_at is not None or (await connection.execute(_FREE, ours)).scalar_one():
                given = ours | {"holder": self._presence.names[0], "ttl": self._ttl_seconds}
                taken = (await connection.execute(_TAKE, given)).scalar_one_or_none() is not None
        self._asked_at = now if taken else None
        return taken

    async def give_up(self) -> None:
        """Let another process lead at once."""
        if self._asked_at is None:
            return
        self._asked_at = None
        async with self._presence.statement() as connection:
            await connection.execute(_YIELD, {"name": self._name, "ours": self._presence.names})


class StandIn:
    """The claim of one process to do what a role does that nobody has: one of them at a time, and only as long as
    nobody has that role.
    """

    def __init__(self, store: Store, presence: Presence, name: str, role: str, ttl_seconds: float) -> None:
        """``role``: the name of its lead."""
        self._store = store
        self._role = role
        self._lead = Leadership(presence, name, ttl_seconds)

    @property
    def lasts(self) -> bool:
        """Whether this process stands in, as of a lead."""
        return self._lead.lasts

    async def leads(self) -> bool:
        """Whether this process stands in. One statement that writes nothing while somebody has the role. Raises the
        store's errors.
        """
        async with self._store.statement() as connection:
            held = (await connection.execute(_HELD, {"name": self._role})).scalar_one()
        if held:
            await self._lead.give_up()
            return False
        return await self._lead.leads()

    async def give_up(self) -> None:
        """Let another process stand in at once."""
        await self._lead.give_up()
