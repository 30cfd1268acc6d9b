"""Take a worker off its queues by hand, and let it back."""

from dataclasses import dataclass
from functools import partial

from pointsman_service.breaker.breaker import BreakerState, Override, Step
from pointsman_service.breaker.entry import Entry, noting
from pointsman_service.breaker.outlier import OFF
from pointsman_service.breaker.registry import Registry
from pointsman_service.callers import Caller
from pointsman_service.errors import UnknownWorker
from pointsman_service.operate.act import Act, ActKind, acting, once_done
from pointsman_service.settings import Settings
from pointsman_service.store.breakers import ejections
from pointsman_service.store.breakers.ejections import SCOPE, EjectionRow
from pointsman_service.store.store import Connection, Store


@dataclass(frozen=True, slots=True)
class Handled:
    """A worker after it was ejected or admitted by hand."""

    name: str
    pool: str | None
    """None: it was not seen for a day."""
    ejection: EjectionRow | None
    """None: it is on its queues, and not on probation."""
    warning: str | None


class Ejector:
    """Ejects and admits for one API process. The reconciler tells Redis, and the node obeys, within seconds."""

    def __init__(self, store: Store, registry: Registry, settings: Settings) -> None:
        self._store = store
        self._registry = registry
        self._dead_seconds = settings.worker_dead_seconds

    async def eject(self, caller: Caller, name: str, reason: str, seconds: float | None) -> Handled:
        """Committed when this returns, for every process and across restarts, for ``seconds`` or until it is admitted.

        Also the last worker of a pool; then there is a warning. Raises ``UnknownWorker``.
        """

        def forced(entry: Entry, now: float) -> Step:
            until = None if seconds is None else now + seconds
            return entry.breaker.force(Override(BreakerState.FORCED_OPEN, caller.name, reason, until), now)

        await self._known(name)
        act = Act(ActKind.EJECT, caller, name, reason)
        await self._registry.change((SCOPE, name), noting(forced, act.was), partial(acting, self._store, act))
        async with once_done(), self._store.statement() as connection:
            return await self._found(connection, name, await self._lonely(connection, name))

    async def admit(self, caller: Caller, name: str, reason: str) -> Handled:
        """Let it back for good, however it was ejected; it is judged like any other from then on.

        Raises ``UnknownWorker``.
        """
        act = Act(ActKind.ADMIT, caller, name, reason)

        def closed(entry: Entry, now: float) -> Step:
            act.changed = not entry.breaker.tick(now).breaker.is_pristine
            if not act.changed:
                return Step(entry.breaker)
            return entry.breaker.close_by_hand(caller.name, reason, now)

        await self._known(name)
        await self._registry.change((SCOPE, name), noting(closed, act.was), partial(acting, self._store, act))
        async with once_done(), self._store.statement() as connection:
            return await self._found(connection, name, None)

    async def _known(self, name: str) -> None:
        async with self._store.statement() as connection:
            known = await ejections.pool_of(connection, name) or await ejections.is_held(connection, name)
        if not known:
            raise UnknownWorker

    async def _found(self, connection: Connection, name: str, warning: str | None) -> Handled:
        held = {row.name: row for row in await ejections.ejections(connection)}
        return Handled(name, await ejections.pool_of(connection, name), held.get(name), warning)

    async def _lonely(self, connection: Connection, name: str) -> str | None:
        """Which of its queues nobody serves now."""
        off = {row.name for row in await ejections.ejections(connection) if BreakerState(row.seen) in OFF}
        live = await ejections.live(connection, self._dead_seconds)
        own = next((worker for worker in live if worker.name == name), None)
        if own is None:
            return "This worker is not live: it is ejected when it comes back."
        served = {queue for worker in live if worker.name not in off for queue in worker.queues}
        left = [queue for queue in own.queues if queue not in served]
        return f"No live worker is left on {', '.join(left)}: what is due there waits." if left else None
