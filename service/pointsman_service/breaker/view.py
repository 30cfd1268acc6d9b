"""Which circuit breakers hold tasks now, as one process knows it: no submission asks the database for it."""

import asyncio
import time
from collections.abc import Sequence

from pointsman_contract.dependencies import DEPENDENCY, TASK_TYPE
from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.queues import holding
from pointsman_service.store.queues.holding import Blocking
from pointsman_service.store.store import Store
from pointsman_service.telemetry import start_for_all

_REFRESH_SECONDS = 0.25
_UNASKED_SECONDS = 2.0


class BreakerView:
    """Refreshed four times a second while somebody submits, else every two seconds. While the database is away it stays
    as it was; the gate of the workers decides.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._permits = settings.circuit_breaker.half_open_permits
        self.blocking: dict[tuple[str, str], Blocking] = {}
        """Empty nearly always: then nobody looks further."""
        self._lacking: set[tuple[str, str]] = set()
        self.asked = False
        """Whether somebody submitted since it was last read: whoever does says so."""
        self._read_at = float("-inf")
        self._reading: asyncio.Task[bool] | None = None
        self.loop = Loop("breaker view", self._pass, _REFRESH_SECONDS)

    async def single_pass(self) -> bool:
        """Read it once."""
        self.asked = False
        async with self._store.statement() as connection:
            found = await holding.blocking(connection, self._permits)
        self._read_at = time.monotonic()
        self.blocking = {one.key: one for one in found}
        self._lacking = {one.key for one in found if one.lacks_probes}
        return False

    async def freshen(self) -> None:
        """Read it, unless a quarter of a second ago it was. Raises the store's errors.

        Whoever comes while it is read waits for that, and hears what became of it: behind a slow database nobody
        waits for the others' turns.
        """
        if time.monotonic() - self._read_at <= _REFRESH_SECONDS:
            return
        if self._reading is None:
            self._reading = start_for_all(self.single_pass())
            self._reading.add_done_callback(self._has_read)
        await asyncio.shield(self._reading)

    def _has_read(self, reading: asyncio.Task[bool]) -> None:
        self._reading = None
        if not reading.cancelled():
            # Also where nobody waits for it any more.
            reading.exception()

    async def _pass(self) -> bool:
        if self.asked or time.monotonic() - self._read_at >= _UNASKED_SECONDS:
            await self.single_pass()
        return False

    def of_task(self, task_type: str, dependencies: Sequence[str]) -> Blocking | None:
        """The breaker that would hold such a task; None when none would."""
        return next(iter(self._in_the_way(task_type, dependencies)), None)

    def refuses(self, task_type: str, dependencies: Sequence[str]) -> Blocking | None:
        """The breaker for which a caller who asked for it is refused; None when none is in the way.

        A doubt refuses nobody: what comes now is held for a moment, and may be what settles it.

        One that is half open and lacks probes takes one task between two refreshes: were everybody refused, nobody
        could find out that it may close.
        """
        found = [one for one in self._in_the_way(task_type, dependencies) if not one.is_doubt]
        refusing = next((one for one in found if one.key not in self._lacking), None)
        if refusing is None:
            self._lacking -= {one.key for one in found}
        return refusing

    def _in_the_way(self, task_type: str, dependencies: Sequence[str]) -> list[Blocking]:
        keys = [(TASK_TYPE, task_type), *((DEPENDENCY, name) for name in dependencies)]
        return [self.blocking[key] for key in keys if key in self.blocking]
