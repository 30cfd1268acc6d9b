"""An operator's action under an Idempotency-Key: asked again, it is done once and answers the same."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pointsman_service.callers import Caller
from pointsman_service.errors import KeyInUse, KeyReused, OutcomeUnknown, ServiceError
from pointsman_service.operate.act import Act, ActKind, acting
from pointsman_service.settings import Settings
from pointsman_service.store.store import Connection, ConnectionLost, LockNotGot, Store
from pointsman_service.store.tasks import submitting


class AlreadyDone(ServiceError):
    """The key stands for what an earlier call made."""

    def __init__(self, made: str) -> None:
        super().__init__(made)
        self.made = made


def fingerprint_of(kind: ActKind, given: Mapping[str, Any]) -> str:
    """Equal for equal calls of one kind of act."""
    return hashlib.sha256(f"{_WORDS[kind]} {json.dumps(given, sort_keys=True, default=str)}".encode()).hexdigest()


_WORDS = {
    ActKind.RETRY: "retry",
    ActKind.REPLAY: "replay",
    ActKind.CANCEL_MANY: "cancel by filter",
    ActKind.RETRY_MANY: "retry by filter",
}
"""As the keys and fingerprints of acts are stored. Each kind has keys of its own, beside those of submissions."""


class Once:
    """Keys of one act in one process. They share their table with those of submissions, and no key with them."""

    def __init__(self, store: Store, kind: ActKind, settings: Settings) -> None:
        self._store = store
        self._kind = kind
        self._remembered_seconds = settings.idempotency_seconds

    async def find(self, caller: Caller, key: str | None, fingerprint: str) -> str | None:
        """What an earlier call with this key made. Raises ``KeyReused`` when that was something else."""
        if key is None:
            return None
        async with self._store.statement() as connection:
            found = await self._found(connection, caller, self._scoped(key), key)
        made, made_by = found.get(self._scoped(key), (None, None))
        if made is None and found.get(key, ("", ""))[1] == fingerprint:
            # The release before did it, under the bare key.
            return found[key][0]
        if made is not None and made_by != fingerprint:
            raise self._reused(made)
        return made

    @asynccontextmanager
    async def transaction(self, act: Act, key: str | None, makes: str, fingerprint: str) -> AsyncIterator[Connection]:
        """The transaction of an act in which ``makes`` is made under the key, or not at all.

        Raises ``AlreadyDone``, ``KeyReused``, ``KeyInUse`` (the first call is not done yet), ``OutcomeUnknown`` (the
        connection broke at the end), and the store's errors.
        """
        try:
            async with acting(self._store, act) as connection:
                if key is not None:
                    await self._claim(connection, act.caller, self._scoped(key), makes, fingerprint)
                yield connection
        except LockNotGot:
            if key is None:
                raise
            raise KeyInUse(retry_after_seconds=1) from None
        except ConnectionLost as error:
            raise OutcomeUnknown(task_id=makes) from error

    async def _claim(self, connection: Connection, caller: Caller, scoped: str, makes: str, fingerprint: str) -> None:
        remembered = self._remembered_seconds
        if await submitting.claim_key(connection, caller.name, scoped, makes, fingerprint, remembered):
            return
        made, made_by = (await self._found(connection, caller, scoped)).get(scoped, (None, None))
        if made is None:
            raise KeyInUse(retry_after_seconds=1)
        if made_by != fingerprint:
            raise self._reused(made)
        raise AlreadyDone(made)

    async def _found(self, connection: Connection, caller: Caller, *keys: str) -> dict[str, tuple[str, str]]:
        wanted = [(caller.name, key) for key in keys]
        found = await submitting.find_keys(connection, wanted, self._remembered_seconds)
        return {key: said for (_, key), said in found.items()}

    def _scoped(self, key: str) -> str:
        """The key as it is stored. None of a submission looks so: a key holds no control character."""
        return f"{_WORDS[self._kind]}\n{key}"

    def _reused(self, made: str) -> KeyReused:
        if self._kind is ActKind.RETRY:
            return KeyReused(f"The Idempotency-Key was used for another retry, which made {made}.", task_id=made)
        return KeyReused(f"The Idempotency-Key was used with another body, for the {_WORDS[self._kind]} {made}.")
