"""Every circuit breaker, kept in Postgres: the pure machine, applied to a locked row and written with its history.

Who only reads sees a breaker as of now: what time alone changed is applied before it is shown.
"""

import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, NamedTuple

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.dependencies import TASK_TYPE
from pointsman_service.breaker.breaker import Breaker, BreakerState, Kind, Outcome, Step, Transition
from pointsman_service.breaker.entry import Entry
from pointsman_service.breaker.of_task_type import TaskTypeBreaker
from pointsman_service.errors import TooManyBreakers
from pointsman_service.settings import Settings
from pointsman_service.store import clock
from pointsman_service.store.breakers import breakers
from pointsman_service.store.breakers.breakers import BreakerRow, Key
from pointsman_service.store.store import Connection, Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_IDLE_SECONDS = 7 * 86_400.0


class Called(NamedTuple):
    """What the attempt of a task says of one of its breakers."""

    task: str
    key: Key
    outcome: Outcome
    at: float
    """When it ended: Unix seconds on the database clock."""


Condition = Callable[[Entry], None]
"""Raises where the policy is not as whoever changes it believes."""
Transaction = Callable[[], AbstractAsyncContextManager[Connection]]
"""Opens the transaction in which something is changed."""
Choose = Callable[[Connection, Entry, int], Awaitable[list[str]]]
"""Names at most so many tasks that shall be probes of this breaker, without those that have a permit already."""
Recognise = Callable[[Connection, TaskTypeBreaker], Awaitable[bool]]
"""Whether all that failed is known to be bad."""


class Registry:
    """Reads and changes breakers. Every method raises what ``Store`` raises, and makes its change in the
    ``transaction`` that it is given, if any.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._default = settings.circuit_breaker
        self._most = settings.breakers_most
        self._dropped = 0

    @property
    def store(self) -> Store:
        """Where they are kept."""
        return self._store

    @property
    def default_policy(self) -> BreakerPolicy:
        """Of every breaker that has none of its own."""
        return self._default

    async def find(self, key: Key) -> Entry | None:
        """The breaker as of now; None when nothing ever happened to it."""
        async with self._store.statement() as connection:
            rows = await breakers.find(connection, [key])
            now = await clock.now(connection)
        return self._as_of(rows[key], now) if key in rows else None

    async def find_all(self, keys: Sequence[Key]) -> dict[Key, Entry]:
        """Those of the breakers that are known, as of now."""
        if not keys:
            return {}
        async with self._store.statement() as connection:
            rows = await breakers.find(connection, keys)
            now = await clock.now(connection)
        return {key: self._as_of(row, now) for key, row in rows.items()}

    async def unusual(self) -> list[Entry]:
        """Every breaker of tasks that ever was another than closed, or has a policy of its own, as of now."""
        async with self._store.statement() as connection:
            rows = await breakers.unusual(connection)
            if not rows:
                return []
            now = await clock.now(connection)
        return [self._as_of(row, now) for row in rows]

    async def not_closed(self, scope: str | None, most: int) -> list[Entry]:
        """Breakers that are not closed, in the order of their keys, as of now."""
        async with self._store.statement() as connection:
            rows = await breakers.not_closed(connection, scope, most)
            if not rows:
                return []
            now = await clock.now(connection)
        return [self._as_of(row, now) for row in rows]

    async def page(self, scope: str | None, seen: str | None, after: Key, most: int) -> list[Entry]:
        """Breakers in the order of their keys, as of now."""
        async with self._store.statement() as connection:
            rows = await breakers.page(connection, scope, seen, after, most)
            if not rows:
                return []
            now = await clock.now(connection)
        return [self._as_of(row, now) for row in rows]

    async def record(
        self,
        key: Key,
        outcomes: Sequence[Outcome],
        draw: Callable[[], float] = random.random,
        transaction: Transaction | None = None,
    ) -> tuple[Entry, int]:
        """Count calls that ended, in order: the breaker after them, and how many counted. An unknown one is made, up
        to the limit: ``TooManyBreakers``.

        Successes of a breaker that has nothing to forget cost no write.
        """
        counting = 0
        if all(outcome.kind is not Kind.FAILURE for outcome in outcomes):
            found = await self.find(key)
            if found is not None and found.breaker.is_pristine and found.policy.window_seconds is None:
                return found, sum(found.breaker.counts(outcome, found.policy) for outcome in outcomes)

        async with (transaction or self._store.transaction)() as connection:
            before, now = await self._locked(connection, key)
            step = before.breaker.tick(now)
            made, lines = list(step.transitions), [before.line(one) for one in step.transitions]
            entry = replace(before, breaker=step.breaker)
            for outcome in outcomes:
                counting += entry.breaker.counts(outcome, entry.policy)
                step = entry.breaker.record(outcome, entry.policy, now, draw)
                entry = entry.after(step, outcome, None, now)
                lines += [entry.line(one) for one in step.transitions]
                made += step.transitions
            if entry != before:
                await breakers.save(connection, [entry.as_row()])
            await breakers.keep_transitions(connection, lines)
            _log(entry, made)
        return entry, counting

    async def count(
        self,
        connection: Connection,
        calls: Sequence[Called],
        offered: Collection[str] = (),
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Count what attempts came to, in order; in a transaction that does nothing more afterwards. ``offered``: task
        types of a worker that was started.

        Successes of breakers that have nothing to forget cost one read. Past the limit of breakers what unknown ones
        would be told is dropped.
        """
        by_key: dict[Key, list[Called]] = {}
        for called in calls:
            by_key.setdefault(called.key, []).append(called)
        renewed = {(TASK_TYPE, name) for name in offered}
        asked = sorted(by_key.keys() | renewed)
        if not asked:
            return
        found = await breakers.find(connection, asked)
        renewed &= found.keys()
        told = [key for key in asked if key in renewed or self._may_change(found.get(key), by_key.get(key, ()))]
        if not told:
            return
        unknown = [key for key in told if key not in found]
        if unknown:
            room = max(0, self._most - await breakers.count(connection))
            await breakers.add(connection, unknown[:room])
            self._drop(unknown[room:])
        transitions: list[dict[str, Any]] = []
        changed: list[BreakerRow] = []
        for key, row in (await breakers.lock(connection, told)).items():
            before = entry = self._entry(row)
            for called in by_key.get(key, ()):
                step = entry.breaker.record(called.outcome, entry.policy, called.at, draw)
                entry = entry.after(step, called.outcome, called.task, called.at)
                transitions += [entry.line(one) for one in step.transitions]
                _log(entry, step.transitions)
            if key in renewed and isinstance(entry.breaker, TaskTypeBreaker):
                step = entry.breaker.meets_new_worker(await clock.now(connection))
                entry = replace(entry, breaker=step.breaker)
                transitions += [entry.line(one) for one in step.transitions]
                _log(entry, step.transitions)
            # A failure that a success followed leaves the machine as it was, and is the newest all the same.
            if entry != before:
                changed.append(entry.as_row())
        await breakers.save(connection, changed)
        await breakers.keep_transitions(connection, transitions)

    async def lease_probes(self, key: Key, choose: Choose, recognise: Recognise) -> Entry:
        """Lease what permits a half-open breaker has free to tasks, each named by its task; that of a task type may be
        open, and half opens for tasks that have not failed, or close, because it is known what is bad. The breaker
        afterwards.
        """
        async with self._store.transaction() as connection:
            entry, now = await self._locked(connection, key)
            breaker, made = entry.breaker.tick(now)
            if isinstance(breaker, TaskTypeBreaker) and breaker.may_recognise and await recognise(connection, breaker):
                step = breaker.recognise(now)
                return await self._apply(connection, entry, Step(step.breaker, made + step.transitions))
            free = entry.policy.half_open_permits - len(breaker.permits)
            if free > 0 and _may_be_probed(breaker, entry.policy):
                chosen = await choose(connection, replace(entry, breaker=breaker), free)
                if chosen and isinstance(breaker, TaskTypeBreaker) and breaker.seen is BreakerState.OPEN:
                    step = breaker.doubt(now)
                    breaker, made = step.breaker, made + step.transitions
                for task in chosen:
                    breaker = breaker.lease(task, entry.policy, now)[0].breaker
            return await self._apply(connection, entry, Step(breaker, made))

    async def lease(self, key: Key, permit: str, transaction: Transaction | None = None) -> tuple[Entry, bool]:
        """Ask for one call: the breaker, and whether the call may be made. ``permit`` names it while half open."""
        found = await self.find(key)
        if found is None or found.breaker.seen in (BreakerState.CLOSED, BreakerState.DISABLED):
            return found or Entry.fresh(key, self._default), True
        if found.breaker.seen is not BreakerState.HALF_OPEN:
            return found, False
        granted = False

        def leased(entry: Entry, now: float) -> Step:
            nonlocal granted
            step, granted = entry.breaker.lease(permit, entry.policy, now)
            return step

        return await self.change(key, leased, transaction), granted

    async def set_policy(
        self,
        key: Key,
        policy: BreakerPolicy | None,
        condition: Condition | None,
        transaction: Transaction | None = None,
    ) -> Entry:
        """Give a breaker a policy of its own, or with None the default again. An unknown one is made.

        Raises what ``condition`` raises.
        """
        async with (transaction or self._store.transaction)() as connection:
            entry, _ = await self._locked(connection, key)
            if condition is not None:
                condition(entry)
            changed = replace(
                entry,
                policy=policy or self._default,
                has_own_policy=policy is not None,
                policy_version=entry.policy_version + 1,
            )
            await breakers.save(connection, [changed.as_row()])
        return changed

    async def change(
        self, key: Key, step: Callable[[Entry, float], Step], transaction: Transaction | None = None
    ) -> Entry:
        """Apply one step of the machine to a breaker. An unknown one is made, up to the limit."""
        async with (transaction or self._store.transaction)() as connection:
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
            await breakers.save(connection, [changed.as_row()])
        await breakers.keep_transitions(connection, [entry.line(one) for one in step.transitions])
        _log(changed, step.transitions)
        return changed

    def _may_change(self, row: BreakerRow | None, calls: Sequence[Called]) -> bool:
        """Whether any of these calls may change the breaker."""
        if any(called.outcome.kind is Kind.FAILURE for called in calls):
            return True
        if row is None:
            return False
        entry = self._entry(row)
        return not entry.breaker.is_pristine or entry.policy.window_seconds is not None

    def _drop(self, unknown: Sequence[Key]) -> None:
        if not unknown:
            return
        self._dropped += 1
        if self._dropped.bit_count() == 1:
            log.error(
                "there are too many circuit breakers: what new ones would be told is dropped",
                breaker=":".join(unknown[0]),
                most=self._most,
                times=self._dropped,
            )

    def _as_of(self, row: BreakerRow, now: float) -> Entry:
        entry = self._entry(row)
        return replace(entry, breaker=entry.breaker.tick(now).breaker)

    def _entry(self, row: BreakerRow) -> Entry:
        return Entry.of_row(row, self._default)


def _may_be_probed(breaker: Breaker, policy: BreakerPolicy) -> bool:
    if isinstance(breaker, TaskTypeBreaker) and breaker.may_doubt(policy):
        return True
    return breaker.seen is BreakerState.HALF_OPEN


def _log(entry: Entry, transitions: Sequence[Transition]) -> None:
    for one in transitions:
        error = entry.error_of(one)
        # What an exception said may be anything: who may read the task finds it there.
        told = {} if error is None else {"error": error.type, "task": error.task_id, "times": error.count}
        log.info(
            "a circuit breaker changed",
            breaker=":".join(entry.key),
            before=str(one.before),
            after=str(one.after),
            reason=one.reason,
            actor=one.actor,
            **told,
        )
