"""The sweep ``outliers``: a worker whose failures stand out from its peers' is taken off its queues, and let back.

What is wanted stands in its breaker, in Postgres. Redis is told what stands there in every pass, so that a node, which
asks Redis alone, obeys within a second or two, whatever either of them has forgotten.
"""

import time
from collections.abc import Callable

from pointsman_contract import keys
from pointsman_service.breaker.breaker import BreakerState, Step
from pointsman_service.breaker.entry import Entry
from pointsman_service.breaker.outlier import OFF, Act, Counted, Decision, Member, Rule, decide
from pointsman_service.breaker.registry import Registry
from pointsman_service.errors import TooManyBreakers
from pointsman_service.fleet.beats import read_beats
from pointsman_service.loops import Loop
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.breakers import ejections, outcomes
from pointsman_service.store.breakers.ejections import SCOPE, EjectionRow
from pointsman_service.store.store import Connection, Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_INTERVAL_SECONDS = 1.0
_WORKERS_A_PASS = 20
_FORGET_SECONDS = 60.0
_BEFORE = {
    Act.EJECT: (BreakerState.CLOSED,),
    Act.EJECT_AGAIN: (BreakerState.HALF_OPEN,),
    Act.LET_BACK: (BreakerState.OPEN,),
    Act.ADMIT: (BreakerState.OPEN, BreakerState.HALF_OPEN),
}


class OutlierSweep:
    """Safe in every process: decisions are made one at a time in transactions that exclude one another, so that an old
    leader that was frozen does not eject one more than half of a pool either.
    """

    def __init__(self, store: Store, server: RedisServer, registry: Registry, settings: Settings) -> None:
        self._store = store
        self._server = server
        self._registry = registry
        self._dead_seconds = settings.worker_dead_seconds
        self._window_seconds = settings.outlier_window_seconds
        self._rule = Rule(
            minimum_calls=settings.outlier_minimum_calls,
            minimum_excess=settings.outlier_minimum_excess,
            probation_calls=settings.outlier_probation_calls,
            is_on=settings.outlier_ejection,
        )
        self._forget_at = float("-inf")
        self.loop = Loop("outlier sweep", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Decide about up to 20 workers, and tell Redis who is ejected; True when there may be more."""
        beats = await read_beats(self._server)
        ending = {owner for owner, beat in beats.items() if beat.get("stopping")}
        decided = 0
        while decided < _WORKERS_A_PASS and await self._decide(ending):
            decided += 1
        await self._publish()
        await self._forget()
        return decided == _WORKERS_A_PASS

    async def _decide(self, ending: set[str]) -> bool:
        """Do the next thing that must be done about any worker; False when there is none."""
        async with self._store.statement() as connection:
            failed = self._rule.is_on and await outcomes.any_failed(connection, self._window_seconds)
            if not failed and not await ejections.ejections(connection):
                return False
        async with self._store.transaction() as connection:
            await ejections.in_turn(connection)
            members = await self._members(connection, ending)
            window = [_counted(row) for row in await outcomes.window(connection, self._window_seconds)]
            decision = decide(members, window, await self._probation(connection, members), self._rule)
            if decision is None:
                return False
            try:
                await self._registry.change_in(connection, (SCOPE, decision.name), _step(decision))
            except TooManyBreakers as error:
                log.warning("a worker cannot be taken off its queues", worker=decision.name, reason=error.detail)
                return False
        if decision.act in (Act.EJECT, Act.EJECT_AGAIN):
            log.warning(
                "a worker is taken off its queues: its failures stand out",
                worker=decision.name,
                reason=decision.reason,
                on_probation=decision.act is Act.EJECT_AGAIN,
            )
        return True

    async def _members(self, connection: Connection, ending: set[str]) -> list[Member]:
        held = {row.name: row for row in await ejections.ejections(connection)}
        off = []
        members = []
        for worker in await ejections.live(connection, self._dead_seconds, ending):
            row = held.get(worker.name)
            state = BreakerState.CLOSED if row is None else BreakerState(row.seen)
            members.append(Member(worker.name, worker.owner, worker.pool, state, 0.0 if row is None else row.since))
            if state in OFF:
                off.append(worker.owner)
        # What they ran before is known already, and must not count again on probation.
        await outcomes.forget_of(connection, off)
        return members

    async def _probation(self, connection: Connection, members: list[Member]) -> dict[str, list[Counted]]:
        since = {member.name: member.since for member in members if member.state is BreakerState.HALF_OPEN}
        if not since:
            return {}
        rows = [_counted(row) for row in await outcomes.since(connection, min(since.values()))]
        return {name: [row for row in rows if row.bucket > at - outcomes.BUCKET_SECONDS] for name, at in since.items()}

    async def _publish(self) -> None:
        async with self._store.statement() as connection:
            wanted = {row.name for row in await ejections.ejections(connection) if _is_off(row)}
        wanted.add(keys.EJECTED_KNOWN)
        flat = await self._server.command("HKEYS", keys.EJECTED)
        known = {name.decode(errors="replace") for name in flat}
        commands: list[tuple[str, ...]] = [("HDEL", keys.EJECTED, name) for name in sorted(known - wanted)]
        commands += [("HSET", keys.EJECTED, name, "1") for name in sorted(wanted - known)]
        if commands:
            await self._server.pipeline([("MULTI",), *commands, ("EXEC",)])

    async def _forget(self) -> None:
        if time.monotonic() < self._forget_at:
            return
        async with self._store.statement() as connection:
            await outcomes.forget_old(connection)
            gone = await ejections.forget_gone(connection)
        self._forget_at = time.monotonic() + _FORGET_SECONDS
        if gone:
            log.info("ejected workers that never came back are forgotten", workers=gone)


def _counted(row: outcomes.OutcomeRow) -> Counted:
    return Counted(row.worker, row.task_type, row.bucket, row.calls, row.failures)


def _is_off(row: EjectionRow) -> bool:
    return BreakerState(row.seen) in OFF


def _step(decision: Decision) -> Callable[[Entry, float], Step]:
    def step(entry: Entry, now: float) -> Step:
        breaker, made = entry.breaker.tick(now)
        if breaker.seen not in _BEFORE[decision.act]:
            # Somebody else was quicker: by hand, or its time had come.
            return Step(breaker, made)
        match decision.act:
            case Act.EJECT | Act.EJECT_AGAIN:
                done = breaker.trip(entry.policy, now, decision.reason)
            case Act.LET_BACK:
                done = breaker.half_open(now, decision.reason)
            case Act.ADMIT:
                done = breaker.close(now, decision.reason)
        return Step(done.breaker, made + done.transitions)

    return step
