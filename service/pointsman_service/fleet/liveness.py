"""Who lives: judged by counters that stand still while we could see them, and never by a clock of somebody else."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pointsman_contract import keys
from pointsman_contract.events import Beat
from pointsman_service.fleet.beats import parse_beats
from pointsman_service.fleet.departures import Departures
from pointsman_service.redis import RedisServer

_LONGEST_STEP_SECONDS = 2.0
"""A judge that was frozen itself has watched nobody meanwhile."""
_FORGET_SECONDS = 3600.0


class Verdict(StrEnum):
    """What is known of a worker."""

    LIVES = "lives"
    DEAD = "dead"
    UNSURE = "unsure"
    """It stands still, or is not there, and was not watched long enough."""


@dataclass(slots=True)
class _Seen:
    beat: Beat
    moved_at: float
    """Watched seconds when the counter was last seen to move."""
    moved: bool = False


class Liveness:
    """One process's judgement of every worker parent.

    Time counts only from one look that Redis answered to the next. A new judge, and every judge in a new epoch, knows
    nothing until it has watched for ``dead_seconds``.
    """

    def __init__(
        self, server: RedisServer, dead_seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._server = server
        self._dead_seconds = dead_seconds
        self._monotonic = monotonic
        self._looked_at: float | None = None
        self._seen: dict[str, _Seen] = {}
        self._missing: dict[str, float] = {}
        self.epoch: int | None = None
        """The open epoch of the last look; None: nothing may be concluded."""
        self.watched_seconds = 0.0
        self.departures = Departures()

    async def look(self) -> None:
        """Read every beat once. Raises ``BrokerAway``; the time until the next look then does not count."""
        try:
            run_id = await self._server.run_id()
            control, beats = await self._server.pipeline(
                [("HMGET", keys.CONTROL, "epoch", "run_id", "open"), ("HGETALL", keys.BEATS)]
            )
        except BaseException:
            self._looked_at = None
            raise
        is_open = control[1] == run_id.encode() and control[2] == b"1"
        # One that is no number is soon declared anew.
        epoch = int(control[0]) if is_open and control[0] is not None and control[0].isdigit() else None
        self.observe(parse_beats(beats, self._server.trust), epoch, self._monotonic())

    def observe(self, beats: Mapping[str, Beat], epoch: int | None, now: float) -> None:
        """Take one look, ``now`` in monotonic seconds."""
        if epoch != self.epoch:
            # Everybody reconnects: nobody's silence before says anything.
            self.epoch, self._seen, self._missing, self._looked_at = epoch, {}, {}, None
        if self._looked_at is not None:
            self.watched_seconds += min(max(now - self._looked_at, 0.0), _LONGEST_STEP_SECONDS)
        self._looked_at = now
        for owner, beat in beats.items():
            self._missing.pop(owner, None)
            known = self._seen.get(owner)
            if known is None:
                self._seen[owner] = _Seen(beat, self.watched_seconds)
            elif known.beat["counter"] < beat["counter"]:
                self._seen[owner] = _Seen(beat, self.watched_seconds, moved=True)
        for owner in self._seen.keys() - beats.keys():
            del self._seen[owner]
            self._missing[owner] = self.watched_seconds
        for owner in [gone for gone, at in self._missing.items() if self.watched_seconds - at > _FORGET_SECONDS]:
            del self._missing[owner]
        self.departures.see(epoch, self.beats(), self.dead())

    def verdict(self, owner: str) -> Verdict:
        """Of one worker. One that is not there is watched from the first question on."""
        seen = self._seen.get(owner)
        since = self._missing.setdefault(owner, self.watched_seconds) if seen is None else seen.moved_at
        if self.watched_seconds - since >= self._dead_seconds:
            return Verdict.DEAD
        return Verdict.LIVES if seen is not None and seen.moved else Verdict.UNSURE

    def silent_seconds(self, owner: str) -> float | None:
        """How long its counter has stood still while we looked; None: it has no beat."""
        seen = self._seen.get(owner)
        return None if seen is None else self.watched_seconds - seen.moved_at

    def dead(self) -> dict[str, Beat]:
        """The last beats of those that stood still for too long."""
        return {owner: seen.beat for owner, seen in self._seen.items() if self.verdict(owner) is Verdict.DEAD}

    def beats(self) -> dict[str, Beat]:
        """The last beat of everybody who is not dead."""
        return {owner: seen.beat for owner, seen in self._seen.items() if self.verdict(owner) is not Verdict.DEAD}
