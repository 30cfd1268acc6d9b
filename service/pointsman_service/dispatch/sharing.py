"""Which queues have tasks of several shares, and whose turn it is in each: what the dispatcher remembers of it.

A share is a caller with one of its fairness keys. Callers take turns with one another, and the keys of a caller with
one another, at each priority by itself: a more urgent task is sent before others, whoever's it is. All of it is in the
memory of the dispatcher that leads; another one that takes over begins anew, which costs nobody more than some turns.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pointsman_service.broker import QueueDepth
from pointsman_service.dispatch.turns import HEAD_START, Turns
from pointsman_service.store.queues.shares import MOST_CALLERS, MOST_KEYS, Line, Share


class Turn(NamedTuple):
    """One task that is to be sent."""

    share: Share
    early: bool
    """Whether its share is behind the others: it goes before what is on the broker."""


_UNEVEN = 30
"""So many times as long turns go on while somebody has had more than its own, which nobody may ever make even."""
_AFTER = "\x01"
"""Put after a text: what comes next, for no text has a smaller character."""


@dataclass(slots=True)
class Front:
    """How many messages were put before others, so that those get their turn, too: once as many of them were fetched,
    so many may be put there again.
    """

    put: float = 0.0
    published: int = 0
    fetched: int = 0
    """Of the queue, when that was written: as many as ever, for plain Celery messages that come are fetched none."""

    def room(self, depth: QueueDepth) -> int:
        """How many more may be."""
        if depth.published < self.published:
            # Another broker.
            self.put, self.fetched = 0.0, 0
        fetched = max(self.fetched, depth.published - depth.messages)
        self.put = max(0.0, self.put - (fetched - self.fetched) / 2)
        self.published, self.fetched = depth.published, fetched
        return int(HEAD_START - self.put)


class LineTurns:
    """The turns at one priority of one queue."""

    def __init__(self, alone: Share | None) -> None:
        """``alone``: the share that all of what waited was of, until now."""
        self._callers = Turns()
        self._keys: dict[str, Turns] = {}
        self._are_all = True
        """Whether all callers were looked at together."""
        self._in_part: set[str] = set()
        """Callers of which not all keys were."""
        self.after = ""
        """Where to look for callers next, as ``store.queues.shares.line`` takes it."""
        self.keys_after: dict[str, str] = {}
        if alone is not None:
            self._callers.settled(alone.caller)
            self._turns_of(alone.caller).settled(alone.key)

    @property
    def are_even(self) -> bool:
        """Whether nobody who waits no more has sent more than its turns."""
        return self._callers.are_even and all(keys.are_even for keys in self._keys.values())

    def seen(self, line: Line) -> None:
        """What was found there. Of more than can be looked at together the next ones come next."""
        whole = not self.after and len(line) < MOST_CALLERS
        self.after = max(line) + _AFTER if len(line) >= MOST_CALLERS else ""
        self._are_all = whole
        self._in_part.clear()
        self._callers.seen(line.keys(), all_of_them=whole)
        for caller, keys in line.items():
            more, began = len(keys) >= MOST_KEYS, self.keys_after.pop(caller, "")
            self._turns_of(caller).seen(keys, all_of_them=not more and not began)
            if more:
                self.keys_after[caller] = keys[-1] + _AFTER
            if more or began:
                self._in_part.add(caller)
        if whole:
            self._keys = {caller: self._keys[caller] for caller in line}

    def turns(self, line: Line, room: int, early_room: int, most: int, weights: Mapping[str, float]) -> list[Turn]:
        """Who may send now, in order: ``room`` tasks, up to ``early_room`` of them before others; where there is no
        room, only those. Of more shares than were looked at together each has one turn, then the next ones are due.
        """
        keys = {caller: self._turns_of_keys(caller, found) for caller, found in line.items() if found}
        most = most if self._are_all else min(most, len(keys))
        turns: list[Turn] = []
        for caller, comes_anew in itertools.islice(self._callers.order(keys, weights), most):
            key, is_anew = next(keys[caller], (None, False))
            if key is None:
                break
            early = (comes_anew or (is_anew and self._keys[caller].are_shared)) and early_room > 0
            if room <= 0 and not early:
                break
            turns.append(Turn(Share(caller, key), early))
            room -= 1
            early_room -= early
        return turns

    def sent(self, share: Share, weights: Mapping[str, float]) -> None:
        """One task of a share was sent."""
        self._callers.sent(share.caller, weights.get(share.caller, 1.0))
        self._keys[share.caller].sent(share.key)

    def _turns_of_keys(self, caller: str, keys: Sequence[str]) -> Iterator[tuple[str, bool]]:
        order = self._keys[caller].order(keys, {})
        return itertools.islice(order, len(keys)) if caller in self._in_part else order

    def _turns_of(self, caller: str) -> Turns:
        return self._keys.setdefault(caller, Turns())


@dataclass(slots=True)
class QueueTurns:
    """One queue in which several shares wait."""

    alone: Share | None
    seen_at: float
    """When there was last more than one share."""
    waited_at: float
    """When anything waited last."""
    front: Front
    lines: dict[int, LineTurns] = field(default_factory=dict)

    @property
    def are_even(self) -> bool:
        """Whether nobody who waits no more has sent more than its turns."""
        return all(line.are_even for line in self.lines.values())

    def line(self, priority: int) -> LineTurns:
        """The turns at a priority."""
        if priority not in self.lines:
            self.lines[priority] = LineTurns(self.alone)
        return self.lines[priority]


class Sharing:
    """Finds queues of several shares, and forgets those that have one, once nobody has had more than its turns."""

    def __init__(self, remembered_seconds: float) -> None:
        """``remembered_seconds``: so long a share that waits no more may have messages on the broker."""
        self._remembered_seconds = remembered_seconds
        self._alone: dict[str, tuple[Share, float]] = {}
        self._queues: dict[str, QueueTurns] = {}
        self._fronts: dict[str, Front] = {}

    def of(self, queue: str) -> QueueTurns | None:
        """The turns of a queue; None: all that waits there is of one share, and goes in its order."""
        return self._queues.get(queue)

    def on_broker(self, queue: str, share: Share, now: float) -> None:
        """Most of what is on the broker is of this share, and nothing waited: whoever waits now comes after it."""
        self._alone[queue] = (share, now)

    def seen(self, found: Mapping[str, Collection[Share]], now: float) -> None:
        """Take what was found of the queues in which anything waits: one share, or more than one of them."""
        self._queues = {queue: turns for queue, turns in self._queues.items() if not self._are_over(turns, now)}
        for queue, shares in found.items():
            self._found(queue, shares, now)

    def _are_over(self, turns: QueueTurns, now: float) -> bool:
        if now - turns.waited_at > self._remembered_seconds:
            return True
        alone_for = now - turns.seen_at
        if alone_for <= self._remembered_seconds:
            return False
        # Who had a head start comes with another one when the others have moved on, not before.
        return turns.are_even or alone_for > _UNEVEN * self._remembered_seconds

    def _found(self, queue: str, shares: Collection[Share], now: float) -> None:
        turns, (before, at) = self._queues.get(queue), self._alone.get(queue, (None, 0.0))
        if before is not None and now - at > self._remembered_seconds:
            before = None
        if len(shares) > 1 or (before is not None and before not in shares):
            if turns is None:
                # Of a share that comes again and again, too, no more may go before others.
                front = self._fronts.setdefault(queue, Front())
                self._queues[queue] = turns = QueueTurns(before, now, now, front)
            turns.seen_at = now
        if turns is not None:
            turns.waited_at = now
        if len(shares) == 1:
            self._alone[queue] = (next(iter(shares)), now)
