"""Rates of callers, from portions in memory: a submission takes a permit of its caller by subtraction, and asks nobody.

What is left of a caller's rate is in Redis (``rate.lua``), the same for all processes. Each leases a tenth of a second
of it ahead, and gives back what it has not used within a second. Nothing is over: a submission that finds nothing in
memory waits for the lease, once for all that wait; while Redis says that there is nothing more, it is not asked again
before there can be.

Without Redis each process goes on by its own clock, with an equal part of the rate: as many processes as asked within a
minute before share it. What was made so is told to Redis when it is back, so that nobody has it twice.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import Protocol

from pointsman_contract import keys
from pointsman_contract.counted import counted
from pointsman_service.callers import Caller
from pointsman_service.errors import BatchOverBurst, RateExceeded
from pointsman_service.limits import Rate
from pointsman_service.loops import Loop
from pointsman_service.redis import BrokerAway, ScriptCall, Word
from pointsman_service.telemetry import logger, start_for_all

log = logger(__name__)

_WAIT_SECONDS = 0.5
"""Longest that a submission waits for a lease. Then its process goes on alone: a Redis that is only slow for a moment
would have refused nobody."""
_PORTION_SECONDS = 0.1
"""A portion is so much of the rate, and no more than a quarter of the burst."""
_PAUSE_SECONDS = 0.1
"""Between two leases of a caller whose permits are all taken, or half of what its burst takes to come back."""
_TIMES = 3
"""That it is waited: for the lease under way, which may not count it in, its own, and one more if others took it."""
_PASS_SECONDS = 0.5
_FORGOTTEN_PASSES = 240
"""A caller that did not submit for so many passes is forgotten."""
_LITTLE = 1e-6


class Leases(Protocol):
    """What leases permits: Redis."""

    async def scripts(self, name: str, calls: Sequence[ScriptCall]) -> list[list[bytes]]:
        """Run a script for each call. Raises ``BrokerAway``."""
        ...


class _Bucket:
    """What one process knows of one caller's rate. Moments are of its own clock."""

    def __init__(self, name: str, rate: Rate) -> None:
        self.name = name
        self.held = 0
        """Permits that are leased and not used."""
        self.full_at = float("-inf")
        """When all permits are back in Redis, as it said last; others may have taken some since."""
        self.full = ""
        """The same on the clock of Redis, for one that lost it."""
        self.ask_at = float("-inf")
        """Before then there is nothing to lease."""
        self.asked: asyncio.Future[None] | None = None
        """Done with the answer to the lease under way."""
        self.waiting = 0
        """Permits that are waited for, ``needed`` of them by one request."""
        self.needed = 0
        self.returned = 0
        self.is_used = True
        self.idle_passes = 0
        self.processes = 1
        """That share the rate, should Redis be away."""
        self.alone_at: float | None = None
        """Since when Redis is away."""
        self.made_at = 0.0
        """Up to when this process has made permits itself, as many as ``owed`` says."""
        self.owed = 0
        self.take_rate(rate, 0.0)

    def take_rate(self, rate: Rate, now: float) -> None:
        """Go by this rate from now on. Whoever was slower before waits no longer for it than its burst takes."""
        self.rate = rate
        self.each = rate.each_seconds
        self.portion = max(1, min(rate.burst // 4, math.ceil(_PORTION_SECONDS / self.each)))
        # Who is slow is asked for when it comes: a permit ahead would be given back more often than used.
        self.ahead = self.portion if self.portion > 1 else 0
        self.low = self.portion // 2
        self.pause = min(_PAUSE_SECONDS, self.each * rate.burst / 2)
        self.held = min(self.held, rate.burst)
        self.full_at = min(self.full_at, now + self.each * rate.burst)

    def there(self, now: float) -> int:
        """At most so many can be leased."""
        missing = self.full_at - now
        if missing <= 0.0:
            return self.rate.burst
        return max(0, math.floor(self.rate.burst - missing / self.each + _LITTLE))

    def left(self, now: float) -> int:
        """What the caller may submit at once."""
        if self.alone_at is not None:
            made = math.floor((now - self.made_at) / (self.each * self.processes) + _LITTLE)
            return min(self.rate.burst, self.held + made)
        return min(self.rate.burst, self.held + self.there(now))

    def seconds_until(self, permits: int, now: float) -> float:
        """How long until so many can be there."""
        missing = max(0, permits - self.held)
        if self.alone_at is not None:
            return max(0.0, self.made_at + missing * self.each * self.processes - now)
        return max(0.0, self.ask_at - now, self.full_at - (self.rate.burst - missing) * self.each - now)

    def go_alone(self, now: float) -> None:
        """Redis is away: begin with what is held, and nothing beside it."""
        if self.alone_at is None:
            self.alone_at = self.made_at = now

    def make(self, now: float) -> None:
        """The permits of this process since they were last made."""
        each = self.each * self.processes
        made = math.floor((now - self.made_at) / each + _LITTLE)
        room = self.rate.burst - self.held
        if made >= room:
            # What would be more than the burst is nobody's.
            self.made_at = now
            made = max(0, room)
        else:
            self.made_at += made * each
        self.held += made
        self.owed += made


class Rates:
    """Of one API process. Its loop must run, or what is not used is lost to other processes."""

    def __init__(
        self, server: Leases, default: Rate | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``default``: of every caller whose key says nothing; None: they have no limit."""
        self.default = default
        self._server = server
        self._clock = clock
        self._process = token_hex(6)
        self._buckets: dict[str, _Bucket] = {}
        self._wanted: dict[str, _Bucket] = {}
        self._leasing: asyncio.Task[None] | None = None
        self.leases = 0
        """How often Redis was asked."""
        self.loop = Loop("rates", self.single_pass, _PASS_SECONDS)

    def limits(self, caller: Caller) -> bool:
        """Whether this caller has a rate at all."""
        return caller.rate is not None or self.default is not None

    def take_one(self, caller: Caller) -> bool:
        """Take a permit that is held here, and ask nobody; False: ``take`` is to be asked.

        Nearly every submission of a caller with a rate ends here, so nothing is called for it.
        """
        bucket = self._buckets.get(caller.name)
        if bucket is None or bucket.held < 1 or bucket.rate is not (caller.rate or self.default):
            return False
        bucket.is_used = True
        bucket.held -= 1
        if bucket.held < bucket.low and bucket.asked is None:
            self._ask_ahead(bucket)
        return True

    async def take(self, caller: Caller, tasks: int = 1, *, whole: bool = True) -> int:
        """How many of these tasks the caller may submit now: all, or with ``whole=False`` the first of them.

        Raises ``RateExceeded`` when it is none, which says when to come again, and ``BatchOverBurst`` for more than
        may ever come at once.
        """
        rate = caller.rate or self.default
        if rate is None:
            return tasks
        bucket = self._buckets.get(caller.name)
        if bucket is None or bucket.rate is not rate:
            bucket = self._bucket_of(caller.name, rate)
        bucket.is_used = True
        if bucket.held < tasks:
            if whole and tasks > rate.burst:
                raise BatchOverBurst(
                    f"The {tasks:,} tasks are to be stored together, and {caller.name} may submit {rate.burst:,} at"
                    " once: they can never be. Send them in parts. Nothing was stored."
                )
            await self._fill(bucket, tasks, tasks if whole else 1)
        taken = min(tasks, bucket.held)
        if taken < (tasks if whole else 1):
            raise self._exceeded(bucket, tasks if whole else 1)
        bucket.held -= taken
        if bucket.held < bucket.low and bucket.asked is None:
            self._ask_ahead(bucket)
        return taken

    def exceeded(self, caller: Caller) -> RateExceeded:
        """What is said to one task more than ``take`` gave. There must be a rate."""
        rate = caller.rate or self.default
        assert rate is not None
        return self._exceeded(self._bucket_of(caller.name, rate), 1)

    def put_back(self, caller: Caller, tasks: int = 1) -> None:
        """As many that were taken were not stored after all, or had been before."""
        rate = caller.rate or self.default
        bucket = None if rate is None else self._buckets.get(caller.name)
        if tasks and bucket is not None:
            bucket.held = min(bucket.rate.burst, bucket.held + tasks)

    def lines(self, caller: Caller) -> bytes:
        """Header fields that say how much is left, as they stand in an answer; none where there is no limit.

        Each submission is answered with it, so for one whose Redis answers it is one call.
        """
        rate = caller.rate or self.default
        if rate is None:
            return b""
        bucket = self._buckets.get(caller.name)
        if bucket is None or bucket.alone_at is not None:
            return rate.lines % self._left(caller.name, rate)
        left, missing = bucket.held + rate.burst, bucket.full_at - self._clock()
        if missing > 0.0:
            there = int(rate.burst - missing / bucket.each + _LITTLE)
            left = bucket.held + there if there > 0 else bucket.held
        if left >= rate.burst:
            return rate.lines % (rate.burst, 0)
        return rate.lines % (left, math.ceil((rate.burst - left) * bucket.each - _LITTLE))

    def fields(self, caller: Caller) -> list[tuple[bytes, bytes]]:
        """The same by name and value."""
        fields = [line.partition(b": ") for line in self.lines(caller).splitlines()]
        return [(name, value) for name, _, value in fields]

    async def single_pass(self) -> bool:
        """Give back what idles, and ask whether Redis is back."""
        for bucket in list(self._buckets.values()):
            if bucket.alone_at is not None:
                self._ask(bucket)
            elif not bucket.is_used:
                bucket.idle_passes += 1
                if bucket.held:
                    bucket.returned += bucket.held
                    bucket.held = 0
                    self._ask(bucket)
                elif bucket.idle_passes > _FORGOTTEN_PASSES and bucket.asked is None:
                    del self._buckets[bucket.name]
            else:
                bucket.idle_passes = 0
            bucket.is_used = False
        if self._leasing is not None:
            await asyncio.wait([self._leasing])
        return False

    def _bucket_of(self, name: str, rate: Rate) -> _Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(name, rate)
            # Should Redis never answer, the rate is shared as it is by those that were met before.
            bucket.processes = max((other.processes for other in self._buckets.values()), default=1)
        elif bucket.rate != rate:
            bucket.take_rate(rate, self._clock())
        else:
            # The same of another key: the next look is quicker.
            bucket.rate = rate
        return bucket

    async def _fill(self, bucket: _Bucket, tasks: int, least: int) -> None:
        """Hold ``tasks``, or as many as there are."""
        until = self._clock() + _WAIT_SECONDS
        asked = 0
        wanted = min(tasks, bucket.rate.burst)
        bucket.waiting += wanted
        try:
            while bucket.held < tasks and asked < _TIMES:
                asked += 1
                now = self._clock()
                if bucket.alone_at is not None:
                    bucket.make(now)
                    return
                if bucket.held + bucket.there(now) < least or (now < bucket.ask_at and wanted <= bucket.portion):
                    return
                bucket.needed = max(bucket.needed, wanted - bucket.held)
                done, _ = await asyncio.wait([self._ask(bucket)], timeout=max(0.0, until - now))
                if not done:
                    bucket.go_alone(self._clock())
        finally:
            bucket.waiting -= wanted

    def _ask_ahead(self, bucket: _Bucket) -> None:
        now = self._clock()
        if bucket.alone_at is None and now >= bucket.ask_at and bucket.there(now) > 0:
            self._ask(bucket)

    def _ask(self, bucket: _Bucket) -> asyncio.Future[None]:
        """Lease for this caller, too; done with the answer, whatever that is."""
        if bucket.asked is None:
            bucket.asked = asyncio.get_running_loop().create_future()
            self._wanted[bucket.name] = bucket
            if self._leasing is None:
                self._leasing = start_for_all(self._lease_on())
        return bucket.asked

    async def _lease_on(self) -> None:
        try:
            while self._wanted:
                # Who asks in this turn of the event loop comes along.
                await asyncio.sleep(0)
                buckets, self._wanted = list(self._wanted.values()), {}
                await self._lease(buckets)
        finally:
            self._leasing = None

    async def _lease(self, buckets: list[_Bucket]) -> None:
        self.leases += 1
        calls = [self._call(bucket) for bucket in buckets]
        try:
            answers = await self._server.scripts("rate", [call for call, _, _ in calls])
        except BrokerAway:
            now = self._clock()
            for bucket in buckets:
                bucket.go_alone(now)
        except Exception:
            # Who waits is let through by the clock, and not left waiting for a fault of ours.
            log.exception("rates of callers cannot be leased", callers=len(buckets))
            for bucket in buckets:
                bucket.go_alone(self._clock())
        else:
            now = self._clock()
            for bucket, (_, wanted, owed), answer in zip(buckets, calls, answers, strict=True):
                self._take_answer(bucket, wanted, owed, answer, now)
        finally:
            for bucket in buckets:
                if bucket.asked is not None:
                    bucket.asked.set_result(None)
                    bucket.asked = None

    def _call(self, bucket: _Bucket) -> tuple[ScriptCall, int, int]:
        returned, bucket.returned = bucket.returned, 0
        needed, bucket.needed = bucket.needed, 0
        owed = bucket.owed
        rate = bucket.rate
        ahead = 0 if returned else bucket.ahead
        wanted = min(rate.burst, max(0, bucket.waiting + ahead - bucket.held))
        silent = 0.0 if bucket.alone_at is None else (self._clock() - bucket.alone_at) * 1e6
        tail: list[Word] = [
            rate.tasks,
            rate.seconds,
            rate.burst,
            wanted,
            needed,
            returned,
            owed,
            int(silent),
            bucket.full,
        ]
        return ([keys.rate(bucket.name)], [self._process], tail), wanted, owed

    @staticmethod
    def _take_answer(bucket: _Bucket, wanted: int, owed: int, answer: list[bytes], now: float) -> None:
        leased, server_now, full, processes = int(answer[0]), int(answer[1]), int(answer[2]), int(answer[3])
        bucket.held += leased
        bucket.owed -= owed
        bucket.processes = processes
        bucket.full = answer[2].decode()
        bucket.full_at = now + (full - server_now) / 1e6
        bucket.ask_at = now + bucket.pause if leased < wanted else now
        bucket.alone_at = None

    def _left(self, name: str, rate: Rate) -> tuple[int, int]:
        """What the caller may submit at once, and the seconds until that is the whole burst."""
        bucket = self._buckets.get(name)
        left = rate.burst if bucket is None else bucket.left(self._clock())
        share = 1 if bucket is None or bucket.alone_at is None else bucket.processes
        return left, math.ceil((rate.burst - left) * rate.each_seconds * share - _LITTLE)

    def _exceeded(self, bucket: _Bucket, least: int) -> RateExceeded:
        rate = bucket.rate
        seconds = max(1, math.ceil(bucket.seconds_until(least, self._clock())))
        at_once = "" if rate.burst == rate.tasks else f", and {rate.burst} at once"
        many = f" The {least:,} tasks are to be stored together." if least > 1 else ""
        said = f"{bucket.name} may submit {counted(rate.tasks, 'task')} in {rate.seconds} s{at_once}.{many}"
        error = RateExceeded(
            f"{said} Nothing was stored; try again in {seconds} s.",
            retry_after_seconds=seconds,
        )
        left, comes_back = self._left(bucket.name, rate)
        error.rate_limit = (rate.policy, f'"rate";r={left};t={comes_back}')
        return error
