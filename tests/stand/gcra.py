"""What ``rate.lua`` says, told another way: permits that come back one by one, and are counted."""

import math
from collections.abc import Callable, Sequence

from pointsman_service.redis import BrokerAway, ScriptCall

_LITTLE = 1e-6
_LATELY, _A_MINUTE = 300_000, 60_000_000


class Permits:
    """Of one caller. A level that rises with time; moments are in microseconds of the server."""

    def __init__(self) -> None:
        self.level: float | None = None
        self.at = 0
        self.asked: dict[str, tuple[int, bool]] = {}
        """When each process asked last, and whether it got what it wanted."""

    def lease(self, call: ScriptCall, now: int) -> list[bytes]:
        """The answer to a call of the script, and what it changes."""
        (process,) = call[1]
        tasks, seconds, burst, wanted, needed, returned, owed, silent = (int(word) for word in call[2][:8])
        each = seconds * 1e6 / tasks
        before = self._before(str(call[2][8]), burst, each, now, silent)
        level = min(float(burst), max(0.0, before + returned - owed))
        there = math.floor(level + _LITTLE)
        others = {name: seen for name, seen in self.asked.items() if name != process and seen[0] >= now - _A_MINUTE}
        unmet = [at for at, is_met in others.values() if not is_met and at > now - _LATELY]
        share = max(1, there // (1 + len(unmet)))
        leased = min(there, max(needed, min(wanted, share)))
        self.level, self.at = level - leased, now
        mine = (now, leased == wanted) if wanted else self.asked.get(str(process), (0, True))
        self.asked = others | {str(process): mine}
        full = now + (burst - self.level) * each
        return [str(word).encode() for word in (leased, now, round(full), len(others) + 1)]

    def _before(self, known: str, burst: int, each: float, now: int, silent: int) -> float:
        if self.level is not None:
            return self.level + (now - self.at) / each
        if known:
            return burst - (int(known) - now) / each
        return burst + silent / each


class ServerOfPermits:
    """The script on a clock of the test. It can be away, and forget."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.permits: dict[str, Permits] = {}
        self.is_away = False
        self.calls = 0

    async def scripts(self, name: str, calls: Sequence[ScriptCall]) -> list[list[bytes]]:
        assert name == "rate"
        if self.is_away:
            raise BrokerAway("it is away")
        self.calls += 1
        now = 1_700_000_000_000_000 + round(self._clock() * 1e6)
        return [self.permits.setdefault(call[0][0], Permits()).lease(call, now) for call in calls]
