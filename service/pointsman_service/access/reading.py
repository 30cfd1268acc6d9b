"""Keys for whoever shows them, a page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from pointsman_service.access.key import Key, key_of
from pointsman_service.errors import NoSuchKey
from pointsman_service.store import api_keys
from pointsman_service.store.store import Store


@dataclass(frozen=True, slots=True)
class KeyPage:
    """A part of the list."""

    items: Sequence[Key]
    following: UUID | None
    """Where the next one begins; None: this is the last."""


class KeyReader:
    """Reads keys for one API process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, *, below: UUID | None = None, limit: int = 50) -> KeyPage:
        """Keys, the newest first."""
        async with self._store.statement() as connection:
            rows = await api_keys.page(connection, below, limit + 1)
        now = datetime.now(UTC)
        return KeyPage([key_of(row, now) for row in rows[:limit]], rows[limit - 1].id if len(rows) > limit else None)

    async def find(self, key_id: UUID) -> Key:
        """One key. Raises ``NoSuchKey``."""
        async with self._store.statement() as connection:
            row = await api_keys.find(connection, key_id)
        if row is None:
            raise NoSuchKey
        return key_of(row, datetime.now(UTC))
