"""Set a circuit breaker or its policy by hand: from the answer on, gate and reports of the workers do as it says."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.dependencies import DEPENDENCY, TASK_TYPE
from pointsman_service.breaker.breaker import BreakerState, Outcome, Override, Step
from pointsman_service.breaker.entry import Entry, noting
from pointsman_service.breaker.registry import Condition, Registry, Transaction
from pointsman_service.breaker.snapshot import Snapshot
from pointsman_service.callers import Caller
from pointsman_service.errors import DatabaseAway, ExpectedFault, NotFound, UnknownWorker
from pointsman_service.operate.act import Act, ActKind, acting
from pointsman_service.redis import BrokerAway, RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.breakers import breakers
from pointsman_service.store.breakers.breakers import Key
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_LOOKED_AT = 500
"""Names that one which nobody knows is compared with."""
_NAMED = 3
_FORCED = {BreakerState.FORCED_OPEN: ActKind.FORCE_OPEN, BreakerState.DISABLED: ActKind.DISABLE}


class BreakerHand:
    """Sets breakers for one API process. What it sets is committed when it returns, for every process and across
    restarts; while Redis is away it is told later. Raises what ``Registry`` raises.
    """

    def __init__(self, registry: Registry, store: Store, server: RedisServer, settings: Settings) -> None:
        self._registry = registry
        self._store = store
        self._snapshot = Snapshot(store, server, settings)

    async def check_guarded(self, caller: Caller, key: Key) -> None:
        """Raises ``NotFound`` for a task type that no worker has published and ``UnknownWorker`` for a worker that was
        not seen for a day, unless it has a breaker. A dependency may be called anything.
        """
        if key[0] != DEPENDENCY:
            await self.check_known(caller, key)

    async def check_known(self, caller: Caller, key: Key) -> None:
        """Raises ``NotFound`` for a dependency that has no breaker and that no task type names, too: its name may be
        mistyped, so those that are like it are told to whom may list them. Otherwise as ``check_guarded``.
        """
        async with self._store.statement() as connection:
            if await breakers.is_guarded(connection, key):
                return
            may_list = caller.may("list_breakers") and not caller.is_narrowed
            names = await breakers.guarded_names(connection, key, _LOOKED_AT) if may_list else []
        scope, name = key
        close = get_close_matches(name, names, n=_NAMED)
        meant = f" Did you mean {' or '.join(close)}?" if close else ""
        if scope == TASK_TYPE:
            raise NotFound(f"No worker has published the task type {name!r}.{meant}")
        if scope == DEPENDENCY:
            raise NotFound(f"Nobody has reported a call to {name!r}, and no task type depends on it.{meant}")
        raise UnknownWorker(f"No worker {name!r} was seen for a day.{meant}")

    async def force(self, caller: Caller, key: Key, state: BreakerState, reason: str, seconds: float | None) -> Entry:
        """The breaker, ``forced_open`` or ``disabled`` for so long; None: until somebody takes it away."""

        def forced(entry: Entry, now: float) -> Step:
            until = None if seconds is None else now + seconds
            return entry.breaker.force(Override(state, caller.name, reason, until), now)

        return await self._change(Act(_FORCED[state], caller, _subject(key), reason), key, forced)

    async def close(self, caller: Caller, key: Key, reason: str) -> Entry:
        """The breaker, closed: what it has counted and what was set by hand is forgotten."""

        def closed(entry: Entry, now: float) -> Step:
            return entry.breaker.close_by_hand(caller.name, reason, now)

        return await self._change(Act(ActKind.FORCE_CLOSED, caller, _subject(key), reason), key, closed)

    async def probe(self, caller: Caller, key: Key, reason: str) -> Entry:
        """The breaker, ``half_open`` if it was open: what it holds is tried with a few before its wait is over."""
        act = Act(ActKind.PROBE, caller, _subject(key), reason)

        def probed(entry: Entry, now: float) -> Step:
            act.changed = entry.breaker.tick(now).breaker.seen is BreakerState.OPEN
            return entry.breaker.probe_by_hand(caller.name, reason, now)

        return await self._change(act, key, probed)

    async def reset(self, caller: Caller, key: Key, reason: str) -> Entry:
        """The breaker without what was set by hand."""
        act = Act(ActKind.RESET, caller, _subject(key), reason)

        def free(entry: Entry, now: float) -> Step:
            act.changed = entry.breaker.tick(now).breaker.override is not None
            return entry.breaker.end_override(caller.name, reason, now)

        return await self._change(act, key, free)

    async def set_policy(
        self, caller: Caller, key: Key, policy: BreakerPolicy | None, condition: Condition | None, reason: str | None
    ) -> Entry:
        """The breaker with a policy of its own, or with None the default again. Raises what ``condition`` raises."""
        act = Act(ActKind.UNSET_POLICY if policy is None else ActKind.SET_POLICY, caller, _subject(key), reason)
        default = self._registry.default_policy

        def noted(entry: Entry) -> None:
            if condition is not None:
                condition(entry)
            act.was(*_differing(entry, policy, default))

        entry = await self._registry.set_policy(key, policy, noted, self._transaction(act))
        await self._publish()
        return entry

    async def report(self, caller: Caller, key: Key, outcomes: Sequence[Outcome]) -> tuple[Entry, int]:
        """As ``Registry.record``: the calls of another service that ended."""
        act = Act(ActKind.REPORT, caller, _subject(key))
        return await self._registry.record(key, outcomes, transaction=self._transaction(act))

    async def lease(self, caller: Caller, key: Key, permit: str) -> tuple[Entry, bool]:
        """As ``Registry.lease``: another service asks before a call."""
        return await self._registry.lease(key, permit, self._transaction(Act(ActKind.LEASE, caller, _subject(key))))

    async def _change(self, act: Act, key: Key, step: Callable[[Entry, float], Step]) -> Entry:
        entry = await self._registry.change(key, noting(step, act.was), self._transaction(act))
        await self._publish()
        return entry

    def _transaction(self, act: Act) -> Transaction:
        return partial(acting, self._registry.store, act)

    async def _publish(self) -> None:
        try:
            await self._snapshot.push()
        except (BrokerAway, DatabaseAway, ExpectedFault) as error:
            # It is committed: whoever asked must not hear that nothing was stored.
            log.info("a circuit breaker could not be told to Redis; the sweep does it", reason=str(error))


def _differing(
    entry: Entry, policy: BreakerPolicy | None, default: BreakerPolicy
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a policy says otherwise than the one before, and whether each is the breaker's own."""
    before = entry.policy.model_dump(mode="json") | {"own": entry.has_own_policy}
    after = (policy or default).model_dump(mode="json") | {"own": policy is not None}
    names = [name for name in after if name == "own" or before[name] != after[name]]
    return {name: before[name] for name in names}, {name: after[name] for name in names}


def _subject(key: Key) -> str:
    return ":".join(key)
