"""Who runs a loop that must run once: a row with a time to live on the database clock."""

import os
import socket
import time
from uuid import uuid4

from sqlalchemy import text

from pointsman_service.store.store import Store

_TAKE = text("""
    INSERT INTO leader AS old (name, holder, fence, expires_at)
    VALUES (:name, :holder, 1, now() + CAST(:ttl AS float8) * interval '1 second')
    ON CONFLICT (name) DO UPDATE SET
        holder = excluded.holder,
        expires_at = excluded.expires_at,
        fence = CASE WHEN old.holder = excluded.holder THEN old.fence ELSE old.fence + 1 END
    WHERE old.holder = excluded.holder OR old.expires_at < now()
    RETURNING fence
""")
_YIELD = text("UPDATE leader SET expires_at = now() WHERE name = :name AND holder = :holder")


class Leadership:
    """The claim of one process to lead one loop. A leader that is frozen loses it after ``ttl_seconds``."""

    def __init__(self, store: Store, name: str, ttl_seconds: float) -> None:
        self._store = store
        self._name = name
        self._ttl_seconds = ttl_seconds
        self._renew_at = float("-inf")
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"

    async def lead(self) -> int | None:
        """Take or renew the lead: the fencing number, or None when another process leads."""
        async with self._store.statement() as connection:
            found = await connection.execute(
                _TAKE, {"name": self._name, "holder": self._holder, "ttl": self._ttl_seconds}
            )
            fence: int | None = found.scalar_one_or_none()
            return fence

    async def leads(self) -> bool:
        """Whether this process leads; the lead is taken or renewed when a third of its time is over."""
        now = time.monotonic()
        if now >= self._renew_at:
            if await self.lead() is None:
                return False
            self._renew_at = now + self._ttl_seconds / 3
        return True

    async def give_up(self) -> None:
        """Let another process lead at once."""
        self._renew_at = float("-inf")
        async with self._store.statement() as connection:
            await connection.execute(_YIELD, {"name": self._name, "holder": self._holder})
