"""Circuit breakers for one process: each with what it holds and what it went through of late."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.dependencies import DEPENDENCY, TASK_TYPE
from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.breaker.entry import Entry
from pointsman_service.breaker.registry import Registry
from pointsman_service.observe.breakers import BreakerNow, Turn, breaker_now, turn_of
from pointsman_service.settings import Settings
from pointsman_service.store import clock
from pointsman_service.store.breakers import breakers
from pointsman_service.store.breakers.breakers import Key
from pointsman_service.store.queues import held, holding
from pointsman_service.store.queues.held import MOST_OF_MANY, MOST_OF_ONE, HeldRow
from pointsman_service.store.store import Store

__all__ = ["BreakerPolicy", "BreakerReader", "BreakerState", "Held", "HeldTask", "Key", "Seen", "Spell", "Turn"]

MOST_IN_TROUBLE: Final = 50
_MOST_TURNS: Final = 200
"""Of one breaker, that make its spells."""
_MOST_FIRST: Final = 8
PARTS: Final = 240
"""Of the window in which spells are told."""
_ORDER: Final = ("open", "half_open", "forced_open", "closed", "disabled")
_HIGHEST: Final = 2**62


@dataclass(frozen=True, slots=True)
class Held:
    """Tasks of one type that a breaker holds."""

    task_type: str
    tasks: int
    is_all: bool
    """False: there are more than were counted."""
    since: datetime | None
    """When the first of those was held."""


@dataclass(frozen=True, slots=True)
class HeldTask:
    """A task that is held, and one of the next to go."""

    id: UUID
    task_type: str
    queue: str
    priority: int
    held_at: datetime | None
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Spell:
    """From when until when a breaker was in one state; None: that is not known."""

    state: str | None
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """One breaker with what is behind it."""

    breaker: BreakerNow
    held: Sequence[Held]
    """By type, the first of them."""
    spells: Sequence[Spell]
    """The oldest first, without a gap; the last is what it is now."""

    @property
    def tasks(self) -> int:
        """Those held, as far as they were counted."""
        return sum(one.tasks for one in self.held)

    @property
    def is_all(self) -> bool:
        """Whether there are no more than ``tasks``."""
        return all(one.is_all for one in self.held)

    @property
    def held_since(self) -> datetime | None:
        """When the first of those counted was held."""
        return min((one.since for one in self.held if one.since is not None), default=None)


@dataclass(frozen=True, slots=True)
class Overview:
    """All breakers: those to look at, and a page of the others."""

    in_trouble: Sequence[Seen]
    """Those that are not closed, and those that have closed and hold tasks still; open ones first."""
    more_in_trouble: bool
    """Whether there are more than these."""
    closed: Sequence[Seen]
    following: Key | None
    """The key behind which the next page of closed ones begins; None: this is the last."""


@dataclass(frozen=True, slots=True)
class Whole:
    """One breaker with all that is known of it."""

    seen: Seen
    first: Sequence[HeldTask]
    """The first of what it holds, in the order in which they go."""
    turns: Sequence[Turn]
    """A page of its history, the newest first."""
    following: int | None
    """``below`` of the next page of it; None: this is the last."""


class BreakerReader:
    """Reads breakers. Raises what ``Store`` raises."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._registry = Registry(store, settings)

    async def overview(self, scope: str | None, after: Key | None, most: int, window_seconds: float) -> Overview:
        """Those in trouble, and ``most`` closed ones behind ``after``."""
        not_closed = await self._registry.not_closed(scope, MOST_IN_TROUBLE + 1)
        closed = await self._registry.page(scope, str(BreakerState.CLOSED), after or ("", ""), most + 1)
        trouble = {entry.key: entry for entry in not_closed[:MOST_IN_TROUBLE]}
        async with self._store.statement() as connection:
            holding_some = await holding.breakers_with_tasks(connection)
        missing = [key for key in holding_some[:MOST_IN_TROUBLE] if key not in trouble and scope in (None, key[0])]
        trouble |= await self._registry.find_all(missing)
        others = {entry.key: entry for entry in closed[:most] if entry.key not in trouble}
        seen = await self._seen([*trouble.values(), *others.values()], list(trouble), window_seconds)
        return Overview(
            in_trouble=sorted((seen[key] for key in trouble), key=_place),
            more_in_trouble=len(not_closed) > MOST_IN_TROUBLE,
            closed=[seen[key] for key in others],
            following=closed[most - 1].key if len(closed) > most else None,
        )

    async def find(self, key: Key, window_seconds: float, below: int | None, most: int) -> Whole | None:
        """One breaker; None when nothing ever happened to it."""
        entry = await self._registry.find(key)
        if entry is None:
            return None
        async with self._store.statement() as connection:
            behind = await held.behind_one(connection, key)
            first = await held.first(connection, key, _MOST_FIRST)
            history = await breakers.history(connection, key, below or _HIGHEST, most + 1)
            spells = await breakers.lately(connection, [key], window_seconds, _MOST_TURNS)
            now = datetime.fromtimestamp(await clock.now(connection), UTC)
        seen = _seen(entry, behind, MOST_OF_ONE, [turn_of(row) for row in spells[key]], now, window_seconds)
        shown = history[:most]
        return Whole(
            seen=seen,
            first=[HeldTask(row.id, row.task_type, row.queue, row.priority, row.held_at, row.due_at) for row in first],
            turns=[turn_of(row) for row in shown],
            following=shown[-1].id if len(history) > most else None,
        )

    async def now(self, key: Key) -> BreakerNow:
        """One breaker as it is; closed, with the default policy, where nothing ever happened to it."""
        entry = await self._registry.find(key)
        return breaker_now(entry or Entry.fresh(key, self._registry.default_policy))

    async def _seen(
        self, entries: Sequence[Entry], holding_some: Sequence[Key], window_seconds: float
    ) -> dict[Key, Seen]:
        keys = [entry.key for entry in entries]
        held_by = [key for key in holding_some if key[0] in (DEPENDENCY, TASK_TYPE)]
        async with self._store.statement() as connection:
            behind = await held.behind_many(connection, held_by)
            turns = await breakers.lately(connection, keys, window_seconds, _MOST_TURNS)
            now = datetime.fromtimestamp(await clock.now(connection), UTC)
        return {
            entry.key: _seen(
                entry,
                behind.get(entry.key, ()),
                MOST_OF_MANY,
                [turn_of(row) for row in turns[entry.key]],
                now,
                window_seconds,
            )
            for entry in entries
        }


def spells_of(turns: Sequence[Turn], state: str, now: datetime, window_seconds: float, most: int) -> list[Spell]:
    """What a breaker, that is in ``state`` now, was in a window: from its turns within it, the oldest first.

    The window ends with the part of it that is not over, one of 240, so that nothing differs while nothing happens. Of
    so many turns as ``most`` there may be older ones: before the first of them nothing is known.
    """
    step = window_seconds / PARTS
    end = datetime.fromtimestamp((now.timestamp() // step + 1) * step, UTC)
    begin = end - timedelta(seconds=window_seconds)
    within = [turn for turn in turns if turn.at > begin]
    if not within:
        return [Spell(state, begin, end)]
    found = [Spell(None if len(turns) >= most else within[0].before, begin, within[0].at)]
    for turn, following in zip(within, [*within[1:], None], strict=True):
        found.append(Spell(turn.after, turn.at, end if following is None else following.at))
    return [spell for spell in found if spell.until > spell.since]


def _seen(
    entry: Entry, behind: Sequence[HeldRow], most: int, turns: Sequence[Turn], now: datetime, window_seconds: float
) -> Seen:
    breaker = breaker_now(entry)
    return Seen(
        breaker,
        [Held(row.task_type, row.tasks, row.tasks < most, row.since) for row in behind],
        spells_of(turns, str(breaker.state), now, window_seconds, _MOST_TURNS),
    )


def _place(seen: Seen) -> tuple[int, float, str, str]:
    breaker = seen.breaker
    since = 0.0 if breaker.opened_at is None else -breaker.opened_at.timestamp()
    return _ORDER.index(breaker.state), since, breaker.scope, breaker.name
