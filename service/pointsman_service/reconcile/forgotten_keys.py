"""The sweep of idempotency keys that nobody remembers any more."""

from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.tasks.submitting import forget_keys

_KEYS_A_PASS = 5000
_INTERVAL_SECONDS = 60.0


class ForgottenKeysSweep:
    """Safe in every process."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self.loop = Loop("forgotten keys sweep", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Delete up to 5,000 keys; True when there may be more."""
        async with self._store.statement() as connection:
            gone = await forget_keys(connection, self._settings.idempotency_seconds, _KEYS_A_PASS)
        return gone == _KEYS_A_PASS
