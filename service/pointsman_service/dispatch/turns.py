"""Whose turn it is among some names that wait: stride scheduling with a head start.

Each task that is sent moves its name on by 1 / weight, and the name that is least far is next (Waldspurger and Weihl,
*Stride Scheduling*, 1995). A name that comes anew begins where the others are, less a head start: who brings a few
tasks need not wait for the turns of who has thousands.
"""

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping

HEAD_START = 20.0
"""So many tasks of a weight of 1 a name that comes anew may be ahead of its turn. It gets that again as the others move
on, so over any stretch it is ahead by no more."""
_MOST_REMEMBERED = 20_000


class Turns:
    """The turns of the names of one line. Knows nothing of tasks: whoever sends some says so (``sent``)."""

    def __init__(self) -> None:
        self._now = 0.0
        """Where the last one stood that was sent, or one before it that stood further."""
        self._at: dict[str, float] = {}
        self._waiting: set[str] = set()

    @property
    def are_shared(self) -> bool:
        """Whether more than one name is known."""
        return len(self._at) > 1

    @property
    def are_even(self) -> bool:
        """Whether whoever waits no more would come anew as somebody whom nobody knows."""
        behind = self._now - HEAD_START
        return all(at <= behind for name, at in self._at.items() if name not in self._waiting)

    def seen(self, names: Collection[str], *, all_of_them: bool) -> None:
        """These wait; ``all_of_them``: and nobody else does. Whoever waits no more comes anew."""
        if all_of_them:
            self._waiting.intersection_update(names)
            if len(self._at) > _MOST_REMEMBERED:
                self._at = {name: at for name, at in self._at.items() if name in self._waiting}
        for name in names:
            if name not in self._waiting or not all_of_them:
                # Of some only, nobody knows who of the others waited all along.
                self._at[name] = max(self._at.get(name, self._now - HEAD_START), self._now - HEAD_START)
                self._waiting.add(name)

    def settled(self, name: str) -> None:
        """Take it that a name has waited all along: it gets no head start."""
        self._at[name] = self._now
        self._waiting.add(name)

    def order(self, names: Iterable[str], weights: Mapping[str, float]) -> Iterator[tuple[str, bool]]:
        """The turns that come, without end, of these names, which were ``seen``; and whether each lies before the turns
        of those that have waited. Nothing is written down.
        """
        turns = [(self._at[name], place, name) for place, name in enumerate(names)]
        heapq.heapify(turns)
        now = self._now
        while turns:
            at, place, name = turns[0]
            yield name, at < now
            now = max(now, at)
            heapq.heapreplace(turns, (at + 1 / weights.get(name, 1.0), place, name))

    def sent(self, name: str, weight: float = 1.0) -> None:
        """One task of a name that was ``seen`` is on its way."""
        at = self._at[name]
        self._now = max(self._now, at)
        self._at[name] = at + 1 / weight
