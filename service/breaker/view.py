"""Which circuit breakers hold tasks now, as one process knows it: no submission asks the database for it."""

from collections.abc import Sequence

from contract.dependencies import DEPENDENCY, TASK_TYPE
from service.loops import Loop
from service.store import holding
from service.store.holding import Blocking
from service.store.store import Store

_REFRESH_SECONDS = 0.25


class BreakerView:
    """Refreshed four times a second. While the database is away it stays as it was; the gate of the workers decides."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.blocking: dict[tuple[str, str], Blocking] = {}
        """Empty nearly always: then nobody looks further."""
        self.loop = Loop("breaker view", self.single_pass, _REFRESH_SECONDS)

    async def single_pass(self) -> bool:
        """Read it once."""
        async with self._store.statement() as connection:
            found = await holding.blocking(connection)
        self.blocking = {one.key: one for one in found}
        return False

    def of_task(self, task_type: str, dependencies: Sequence[str]) -> Blocking | None:
        """The breaker that would hold such a task; None when none would."""
        keys = [(TASK_TYPE, task_type), *((DEPENDENCY, name) for name in dependencies)]
        return next((self.blocking[key] for key in keys if key in self.blocking), None)
