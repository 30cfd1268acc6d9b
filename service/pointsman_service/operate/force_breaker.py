"""Set a circuit breaker or its policy by hand: from the answer on, gate and reports of the workers do as it says."""

from collections.abc import Callable

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.dependencies import DEPENDENCY, TASK_TYPE
from pointsman_service.breaker.breaker import Step
from pointsman_service.breaker.entry import Entry
from pointsman_service.breaker.registry import Condition, Registry
from pointsman_service.breaker.snapshot import Snapshot
from pointsman_service.errors import DatabaseAway, NotFound, UnknownWorker
from pointsman_service.loops import ExpectedFault
from pointsman_service.redis import BrokerAway, RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store import breakers
from pointsman_service.store.breakers import Key
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)


class BreakerHand:
    """Sets breakers for one API process."""

    def __init__(self, registry: Registry, store: Store, server: RedisServer, settings: Settings) -> None:
        self._registry = registry
        self._store = store
        self._snapshot = Snapshot(store, server, settings)

    async def check_guarded(self, key: Key) -> None:
        """Raises ``NotFound`` for a task type that no worker has published and ``UnknownWorker`` for a worker that was
        not seen for a day, unless it has a breaker. A dependency may be called anything.
        """
        if key[0] == DEPENDENCY:
            return
        async with self._store.statement() as connection:
            guarded = await breakers.is_guarded(connection, key)
        if guarded:
            return
        if key[0] == TASK_TYPE:
            raise NotFound(f"No worker has published the task type {key[1]!r}.")
        raise UnknownWorker

    async def change(self, key: Key, step: Callable[[Entry, float], Step]) -> Entry:
        """The breaker after one step of the machine. Committed when this returns, for every process and across
        restarts; while Redis is away it is told later. Raises what ``Registry.change`` raises.
        """
        entry = await self._registry.change(key, step)
        await self._tell()
        return entry

    async def set_policy(self, key: Key, policy: BreakerPolicy | None, condition: Condition | None) -> Entry:
        """As ``Registry.set_policy``; told as ``change`` tells."""
        entry = await self._registry.set_policy(key, policy, condition)
        await self._tell()
        return entry

    async def _tell(self) -> None:
        try:
            await self._snapshot.push()
        except (BrokerAway, DatabaseAway, ExpectedFault) as error:
            # It is committed: whoever asked must not hear that nothing was stored.
            log.info("a circuit breaker could not be told to Redis; the sweep does it", reason=str(error))
