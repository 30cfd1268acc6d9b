"""An operator's action under an Idempotency-Key: asked again, it is done once and answers the same."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from service.errors import KeyInUse, KeyReused, OutcomeUnknown
from service.settings import Settings
from service.store import submitting
from service.store.store import Connection, ConnectionLost, LockNotGot, Store
from service.submit.submitter import LOCAL_CALLER


class AlreadyDone(Exception):
    """The key stands for what an earlier call made."""

    def __init__(self, made: str) -> None:
        super().__init__(made)
        self.made = made


def fingerprint_of(action: str, given: Mapping[str, Any]) -> str:
    """Equal for equal calls of one action."""
    return hashlib.sha256(f"{action} {json.dumps(given, sort_keys=True, default=str)}".encode()).hexdigest()


class Once:
    """Keys of one process. They share their table with those of submissions."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._remembered_seconds = settings.idempotency_seconds

    async def find(self, key: str | None, fingerprint: str) -> str | None:
        """What an earlier call with this key made. Raises ``KeyReused`` when that was something else."""
        if key is None:
            return None
        async with self._store.statement() as connection:
            found = (await submitting.find_keys(connection, [(LOCAL_CALLER, key)])).get((LOCAL_CALLER, key))
        if found is None:
            return None
        if found[1] != fingerprint:
            raise KeyReused
        return found[0]

    @asynccontextmanager
    async def transaction(self, key: str | None, makes: str, fingerprint: str) -> AsyncIterator[Connection]:
        """A transaction in which ``makes`` is made under the key, or not at all.

        Raises ``AlreadyDone``, ``KeyReused``, ``KeyInUse`` (the first call is not done yet), ``OutcomeUnknown`` (the
        connection broke at the end), and the store's errors.
        """
        try:
            async with self._store.transaction() as connection:
                if key is not None:
                    await self._claim(connection, key, makes, fingerprint)
                yield connection
        except LockNotGot:
            if key is None:
                raise
            raise KeyInUse(retry_after_seconds=1) from None
        except ConnectionLost as error:
            raise OutcomeUnknown(task_id=makes) from error

    async def _claim(self, connection: Connection, key: str, makes: str, fingerprint: str) -> None:
        remembered = self._remembered_seconds
        if await submitting.claim_key(connection, LOCAL_CALLER, key, makes, fingerprint, remembered):
            return
        found = (await submitting.find_keys(connection, [(LOCAL_CALLER, key)])).get((LOCAL_CALLER, key))
        if found is None:
            raise KeyInUse(retry_after_seconds=1)
        if found[1] != fingerprint:
            raise KeyReused
        raise AlreadyDone(found[0])
