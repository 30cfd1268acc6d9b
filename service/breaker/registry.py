"""Every circuit breaker, kept in Postgres: the pure machine, applied to a locked row and written with its history.

Who only reads sees a breaker as of now: what time alone changed is applied before it is shown.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from contract.breaker_policy import BreakerPolicy
from service.breaker.breaker import Breaker, BreakerState, Kind, Outcome, Step, Transition
from service.errors import PolicyChanged, TooManyBreakers
from service.settings import Settings
from service.store import breakers, clock
from service.store.breakers import BreakerRow, Key
from service.store.store import Connection, Store
from service.telemetry import logger

log = logger(__name__)

_MACHINE = TypeAdapter(Breaker)
_IDLE_SECONDS = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One breaker with its policy."""

    key: Key
    breaker: Breaker
    policy: BreakerPolicy
    has_own_policy: bool
    policy_version: int
    """0 until somebody sets a policy."""


class Registry:
    """Reads and changes breakers. Every method raises what ``Store`` raises."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._default = settings.circuit_breaker
        self._most = settings.breakers_most

    async def find(self, key: Key) -> Entry | None:
        """The breaker as of now; None when nothing ever happened to it."""
        async with self._store.statement() as connection:
            rows = await breakers.find(connection, [key])
            now = await clock.now(connection)
        return self._as_of(rows[key], now) if key in rows else None

    async def page(self, scope: str | None, seen: str | None, after: Key, most: int) -> list[Entry]:
        """Breakers in the order of their keys, as of now."""
        async with self._store.statement() as connection:
            rows = await breakers.page(connection, scope, seen, after, most)
            now = await clock.now(connection)
        return [self._as_of(row, now) for row in rows]

    async def record(self, key: Key, outcomes: Sequence[Outcome], draw: Callable[[], float] = random.random) -> Entry:
        """Count calls that ended, in order, and return the breaker after them. An unknown one is made, up to the
        limit: ``TooManyBreakers``.

        Successes of a breaker that has nothing to forget cost no write.
        """
        if all(outcome.kind is not Kind.FAILURE for outcome in outcomes):
            found = await self.find(key)
            if found is None:
                return self._fresh(key)
            if found.breaker.is_pristine and found.policy.window_seconds is None:
                return found

        def counted(entry: Entry, now: float) -> Step:
            breaker = entry.breaker
            made: tuple[Transition, ...] = ()
            for outcome in outcomes:
                step = breaker.record(outcome, entry.policy, now, draw)
                breaker, made = step.breaker, made + step.transitions
            return Step(breaker, made)

        return await self.change(key, counted)

    async def lease(self, key: Key, permit: str) -> tuple[Entry, bool]:
        """Ask for one call: the breaker, and whether the call may be made. ``permit`` names it while half open."""
        found = await self.find(key)
        if found is None or found.breaker.seen in (BreakerState.CLOSED, BreakerState.DISABLED):
            return found or self._fresh(key), True
        if found.breaker.seen is not BreakerState.HALF_OPEN:
            return found, False
        granted = False

        def leased(entry: Entry, now: float) -> Step:
            nonlocal granted
            step, granted = entry.breaker.lease(permit, entry.policy, now)
            return step

        return await self.change(key, leased), granted

    async def set_policy(self, key: Key, policy: BreakerPolicy | None, expected_version: int | None) -> Entry:
        """Give a breaker a policy of its own, or with None the default again. An unknown one is made.

        Raises ``PolicyChanged`` when ``expected_version`` is given and is not the policy's version.
        """
        async with self._store.transaction() as connection:
            entry, _ = await self._locked(connection, key)
            if expected_version is not None and entry.policy_version != expected_version:
                raise PolicyChanged
            changed = replace(
                entry,
                policy=policy or self._default,
                has_own_policy=policy is not None,
                policy_version=entry.policy_version + 1,
            )
            await breakers.save(connection, [_row_of(changed)])
        return changed

    async def change(self, key: Key, step: Callable[[Entry, float], Step]) -> Entry:
        """Apply one step of the machine to a breaker. An unknown one is made, up to the limit."""
        async with self._store.transaction() as connection:
            return await self.change_in(connection, key, step)

    async def change_in(self, connection: Connection, key: Key, step: Callable[[Entry, float], Step]) -> Entry:
        """``change``, at the end of a transaction that is open: others wait for it to write their transitions."""
        entry, now = await self._locked(connection, key)
        return await self._apply(connection, entry, step(entry, now))

    async def turn(self, most: int) -> int:
        """Write what time alone has changed. Returns how many breakers were looked at."""
        async with self._store.transaction() as connection:
            keys = await breakers.due(connection, most)
            if not keys:
                return 0
            rows = await breakers.lock(connection, keys)
            now = await clock.now(connection)
            for row in rows.values():
                entry = self._entry(row)
                await self._apply(connection, entry, entry.breaker.tick(now))
        return len(keys)

    async def forget_idle(self) -> int:
        """Drop breakers that nothing happened to for a week. Returns how many."""
        async with self._store.statement() as connection:
            return await breakers.forget_idle(connection, _IDLE_SECONDS)

    async def _locked(self, connection: Connection, key: Key) -> tuple[Entry, float]:
        rows = await breakers.lock(connection, [key])
        if key not in rows:
            if await breakers.count(connection) >= self._most:
                raise TooManyBreakers(
                    f"There are {self._most} circuit breakers already; closed ones are forgotten after a week."
                )
            await breakers.add(connection, [key])
            rows = await breakers.lock(connection, [key])
        return self._entry(rows[key]), await clock.now(connection)

    async def _apply(self, connection: Connection, entry: Entry, step: Step) -> Entry:
        changed = replace(entry, breaker=step.breaker)
        if step.breaker != entry.breaker:
            await breakers.save(connection, [_row_of(changed)])
        await breakers.keep_transitions(connection, [_line(entry.key, one) for one in step.transitions])
        for one in step.transitions:
            log.info(
                "a circuit breaker changed",
                breaker=":".join(entry.key),
                before=str(one.before),
                after=str(one.after),
                reason=one.reason,
                actor=one.actor,
            )
        return changed

    def _as_of(self, row: BreakerRow, now: float) -> Entry:
        entry = self._entry(row)
        return replace(entry, breaker=entry.breaker.tick(now).breaker)

    def _fresh(self, key: Key) -> Entry:
        return Entry(key, Breaker(), self._default, has_own_policy=False, policy_version=0)

    def _entry(self, row: BreakerRow) -> Entry:
        policy = self._default if row.policy is None else _policy(row.policy, self._default)
        own = row.policy is not None
        return Entry(
            (row.scope, row.name), _breaker(row), policy, has_own_policy=own, policy_version=row.policy_version
        )


def _breaker(row: BreakerRow) -> Breaker:
    return _MACHINE.validate_python(row.machine) if row.machine else Breaker()


def _policy(stored: Mapping[str, Any], default: BreakerPolicy) -> BreakerPolicy:
    try:
        return BreakerPolicy.model_validate(stored)
    except ValidationError as error:
        # A newer version may have written more than this one understands.
        log.error("a stored breaker policy cannot be read; the default counts", reason=str(error)[:300])
        return default


def _row_of(entry: Entry) -> BreakerRow:
    breaker = entry.breaker
    override = breaker.override
    turns = [breaker.retry_at, None if override is None else override.expires_at]
    return BreakerRow(
        scope=entry.key[0],
        name=entry.key[1],
        seen=str(breaker.seen),
        epoch=breaker.epoch,
        turns_at=min((moment for moment in turns if moment is not None), default=None),
        machine=_MACHINE.dump_python(breaker, mode="json"),
        policy=entry.policy.model_dump(mode="json") if entry.has_own_policy else None,
        policy_version=entry.policy_version,
    )


def _line(key: Key, transition: Transition) -> dict[str, Any]:
    return {"scope": key[0], "name": key[1], **transition._asdict()}
