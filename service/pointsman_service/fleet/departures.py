"""Who died or left lately: they may have taken messages along that nobody else will find."""

import time
from collections.abc import Callable, Mapping

from pointsman_contract.events import Beat, queues_in_hand

_FORGET_SECONDS = 3600.0


class Departures:
    """Of the workers of one epoch, by the queues they had in hand. Whatever was sent in an epoch before is sent again
    anyway.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._epoch: int | None = None
        self._living: Mapping[str, Beat] = {}
        self._dead: frozenset[str] = frozenset()
        self._gone: list[tuple[Beat, float]] = []
        """With the moment when that was found."""

    def see(self, epoch: int | None, living: Mapping[str, Beat], dead: Mapping[str, Beat]) -> None:
        """Compare who lives and who is dead now with the look before."""
        if epoch != self._epoch:
            self._epoch, self._living, self._dead, self._gone = epoch, living, frozenset(dead), []
            return
        now = self._monotonic()
        self._gone = [(beat, at) for beat, at in self._gone if now - at < _FORGET_SECONDS]
        for owner, beat in ({**self._living, **dead}).items():
            if owner not in living and owner not in self._dead:
                self._gone.append((beat, now))
        self._living, self._dead = living, frozenset(dead)

    def by_queue(self, now: float) -> dict[str, float]:
        """When a worker of each queue was last found to be gone, within an hour, on a clock that says ``now``."""
        here = self._monotonic()
        return {queue: now - (here - at) for beat, at in self._gone for queue in queues_in_hand(beat)}
