"""How many tasks of one caller may wait, as one process knows it: no submission asks a server for it.

What waits is what was last read, and what this process took since. Only callers that have a quota and submit are read.
With n processes a quota is exceeded by no more than what n - 1 of them take within a reading's interval, and what is on
its way into PostgreSQL meanwhile.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping

from pointsman_contract.counted import counted
from pointsman_service.callers import Caller
from pointsman_service.errors import QuotaFull
from pointsman_service.loops import Loop
from pointsman_service.submit.one_reading import STALE_SECONDS, OneReading

_REFRESH_SECONDS = 0.5
_REST = 10.0
"""Reading takes at most a tenth of one connection's time."""
_ACTIVE_SECONDS = 5.0
"""A caller that did not submit for so long is not read."""
_TIMES = 2
"""That a first reading is waited for: the one under way does not know this caller."""
_RETRY_SECONDS = 5.0

Read = Callable[[Mapping[str, int]], Awaitable[Mapping[str, int]]]
"""How many tasks of each of these callers wait, asked now; no more of one than is said beside its name."""


class _Waiting:
    """Of one caller. Moments are of this process's clock."""

    def __init__(self) -> None:
        self.most = 0
        self.read = 0
        self.read_at = float("-inf")
        self.taken = 0
        """By this process since then."""
        self.asked_at = 0.0


class Quotas:
    """Of one API process. Its loop must run."""

    def __init__(self, read: Read, default: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """``default``: of every caller whose key says nothing; None: they have no quota."""
        self.default = default
        self._read = read
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}
        self._reading = OneReading(self.single_pass)
        self._rests_until = float("-inf")
        self.loop = Loop("quotas", self._pass, _REFRESH_SECONDS)

    def limits(self, caller: Caller) -> bool:
        """Whether this caller has a quota at all."""
        return caller.quota is not None or self.default is not None

    async def check(self, caller: Caller) -> None:
        """Refuse a task that is due now of a caller that has a quota. Raises ``QuotaFull``."""
        most = caller.quota or self.default
        assert most is not None
        waiting = self._waiting.setdefault(caller.name, _Waiting())
        waiting.most = most
        waiting.asked_at = self._clock()
        # A first reading, and one after a pause in which the caller did not ask, is waited for.
        for _ in range(_TIMES):
            if not self._is_fresh(waiting):
                await self._reading.wait()
        if self._is_fresh(waiting) and waiting.read + waiting.taken >= most:
            raise QuotaFull(
                f"{counted(most, 'task')} of {caller.name} may wait, and as many do; nothing was stored. Try again when"
                " some have started.",
                retry_after_seconds=_RETRY_SECONDS,
            )

    def take(self, caller: Caller) -> None:
        """One that passed is about to be stored."""
        waiting = self._waiting.get(caller.name)
        if waiting is not None:
            waiting.taken += 1

    def give_back(self, callers: Iterable[str]) -> None:
        """A task of each of these, by its name, that was taken is not stored, after all."""
        if not self._waiting:
            return
        for name, tasks in Counter(callers).items():
            waiting = self._waiting.get(name)
            if waiting is not None:
                waiting.taken = max(0, waiting.taken - tasks)

    async def single_pass(self) -> bool:
        """Read what waits of those who submit."""
        now = self._clock()
        for name, waiting in list(self._waiting.items()):
            if now - waiting.asked_at > _ACTIVE_SECONDS:
                del self._waiting[name]
        if not self._waiting:
            return False
        asked = {name: (waiting, waiting.taken) for name, waiting in self._waiting.items()}
        found = await self._read({name: waiting.most for name, (waiting, _) in asked.items()})
        read_at = self._clock()
        self._rests_until = read_at + _REST * (read_at - now)
        for name, (waiting, taken) in asked.items():
            waiting.read = found.get(name, 0)
            waiting.taken = max(0, waiting.taken - taken)
            waiting.read_at = read_at
        return False

    def _is_fresh(self, waiting: _Waiting) -> bool:
        return self._clock() - waiting.read_at <= STALE_SECONDS

    async def _pass(self) -> bool:
        return await self.single_pass() if self._waiting and self._clock() >= self._rests_until else False
