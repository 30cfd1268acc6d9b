"""The circuit breaker, pure: every step takes ``now`` and gives a new breaker. Its words are resilience4j's.

    closed ──failures in a row, or a rate──> open ──its wait is over──> half_open ──probes succeed──> closed
                                              ^                            │
                                              └────────a probe fails───────┘

By hand: ``forced_open`` lets nothing through, ``disabled`` lets everything through; either may expire. Each transition
raises ``epoch``, and what a call of an older epoch reports changes nothing. ``now`` is in seconds on any one clock.
"""

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.breaker.last_error import Said

_BUCKETS = 10
"""Parts of the sliding window: it moves by a tenth of its length."""


class BreakerState(StrEnum):
    """Where a breaker stands. The last two are set by hand and stand above the others."""

    CLOSED = "closed"
    """Calls pass, and are counted."""
    OPEN = "open"
    """No call passes until ``retry_at``."""
    HALF_OPEN = "half_open"
    """Only calls with a permit pass: the probes."""
    FORCED_OPEN = "forced_open"
    """No call passes until somebody says so."""
    DISABLED = "disabled"
    """Every call passes and none counts."""


class Kind(StrEnum):
    """What a call came to, for the breaker."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"
    """Nobody's failure: a cancel, a validation error, an exception that the policy does not count."""


class Outcome(NamedTuple):
    """One call that ended."""

    kind: Kind
    epoch: int | None = None
    """The breaker's epoch when the call began. None: not known, as of now."""
    permit: str | None = None
    """Of a probe."""
    run_seconds: float = 0.0
    error: tuple[str, ...] = ()
    """Of a failure: names of its exception and of those it derives from. The policy may not count it."""
    said: Said | None = None
    """Of a failure: what its exception said, where that is known."""
    is_first: bool = True
    """Of a task: whether no attempt of it came before. The breaker of a task type counts a task once."""

    def under(self, policy: BreakerPolicy) -> Kind:
        """What the call came to by this policy."""
        if self.kind is Kind.FAILURE and self.error and not policy.counts(self.error):
            return Kind.IGNORED
        return self.kind


class Transition(NamedTuple):
    """A change of what callers see."""

    at: float
    epoch: int
    before: BreakerState
    after: BreakerState
    reason: str
    actor: str
    """``breaker``, or who did it by hand."""


@dataclass(frozen=True, slots=True)
class Override:
    """Set by hand; stands above the state until it is taken away or expires."""

    state: BreakerState
    """``forced_open`` or ``disabled``."""
    actor: str
    reason: str
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A tenth of the sliding window."""

    number: int
    calls: int = 0
    failures: int = 0
    slow: int = 0


class Step(NamedTuple):
    """The breaker after a step, and the transitions it made, oldest first."""

    breaker: "Breaker"
    transitions: tuple[Transition, ...] = ()


BY_ITSELF = "breaker"
"""The actor of what a breaker does itself."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """One breaker. A new one is closed."""

    state: BreakerState = BreakerState.CLOSED
    """``closed``, ``open`` or ``half_open``; what callers see is ``seen``."""
    epoch: int = 0
    """Rises with every transition."""
    failures: int = 0
    """In a row, while closed."""
    buckets: tuple[Bucket, ...] = ()
    """Of the sliding window, while closed, the oldest first."""
    trips: int = 0
    """In a row: openings that followed soon on one another."""
    opened_at: float | None = None
    """When it left closed; stays while it is half open."""
    retry_at: float | None = None
    """When an open one becomes half open."""
    closed_at: float | None = None
    """When it closed last, having been open."""
    successes: int = 0
    """Of probes, while half open."""
    permits: Mapping[str, float] = field(default_factory=dict)
    """Leased to probes, while half open: until when."""
    override: Override | None = None

    @property
    def seen(self) -> BreakerState:
        """The state that callers see."""
        return self.state if self.override is None else self.override.state

    @property
    def lets_through_at(self) -> float | None:
        """When calls or probes pass that do not now; None when they do, or when nobody knows."""
        wait = self.retry_at if self.state is BreakerState.OPEN else None
        if self.override is None:
            return wait
        if self.override.state is BreakerState.DISABLED or self.override.expires_at is None:
            return None
        return max(self.override.expires_at, wait or 0.0)

    @property
    def turns_at(self) -> float | None:
        """When time alone changes its state next, if no override ends before."""
        return self.retry_at

    @property
    def is_pristine(self) -> bool:
        """Whether a success would change nothing."""
        return self.state is BreakerState.CLOSED and not self.failures and not self.buckets and self.override is None

    def tick(self, now: float) -> Step:
        """What time alone changes: overrides end, an open breaker becomes half open, permits run out."""
        breaker, made = self, []
        override = breaker.override
        if override is not None and override.expires_at is not None and now >= override.expires_at:
            breaker = replace(breaker, override=None)
            made.append(breaker._moved(now, override.state, breaker.state, "the override expired", BY_ITSELF))
            breaker = replace(breaker, epoch=breaker.epoch + 1)
        if breaker.state is BreakerState.OPEN and breaker.retry_at is not None and now >= breaker.retry_at:
            step = breaker.half_open(now, "its wait is over")
            breaker = step.breaker
            made += step.transitions
        live = {permit: until for permit, until in breaker.permits.items() if until > now}
        if len(live) != len(breaker.permits):
            breaker = replace(breaker, permits=live)
        return Step(breaker, tuple(made))

    def record(
        self, outcome: Outcome, policy: BreakerPolicy, now: float, draw: Callable[[], float] = random.random
    ) -> Step:
        """Count one call that ended. ``draw`` gives a number from 0 to below 1, for the jitter of the wait."""
        breaker, made = self.tick(now)
        if breaker.override is not None or (outcome.epoch is not None and outcome.epoch != breaker.epoch):
            return Step(breaker, made)
        if breaker.state is BreakerState.CLOSED:
            step = breaker._count(outcome, policy, now, draw)
        elif breaker.state is BreakerState.HALF_OPEN:
            step = breaker._count_probe(outcome, policy, now, draw)
        else:
            step = Step(breaker)
        return Step(step.breaker, made + step.transitions)

    def counts(self, outcome: Outcome, policy: BreakerPolicy) -> bool:
        """Whether this outcome would count, as of the last ``tick``."""
        if self.override is not None or outcome.epoch not in (None, self.epoch):
            return False
        if outcome.under(policy) is Kind.IGNORED:
            return False
        return self.state is BreakerState.CLOSED or (
            self.state is BreakerState.HALF_OPEN and outcome.permit in self.permits
        )

    def lease(self, permit: str, policy: BreakerPolicy, now: float) -> tuple[Step, bool]:
        """Ask for one call: whether it may be made. While half open it may only as a probe, named by ``permit``."""
        step = self.tick(now)
        breaker = step.breaker
        if breaker.seen in (BreakerState.CLOSED, BreakerState.DISABLED):
            return step, True
        if breaker.seen is not BreakerState.HALF_OPEN:
            return step, False
        if permit not in breaker.permits and len(breaker.permits) >= policy.half_open_permits:
            return step, False
        leased = replace(breaker, permits={**breaker.permits, permit: now + policy.permit_seconds})
        return Step(leased, step.transitions), True

    def renew(self, permits: Collection[str], policy: BreakerPolicy, now: float) -> Step:
        """Let those of these permits that are leased last anew: their probes are under way."""
        step = self.tick(now)
        until = now + policy.permit_seconds
        renewed = {permit: until if permit in permits else at for permit, at in step.breaker.permits.items()}
        return Step(replace(step.breaker, permits=renewed), step.transitions)

    def give_back(self, permits: Collection[str], now: float) -> Step:
        """Lease these permits no longer: nothing will come of their probes."""
        step = self.tick(now)
        rest = {permit: until for permit, until in step.breaker.permits.items() if permit not in permits}
        return Step(replace(step.breaker, permits=rest), step.transitions)

    def trip(self, policy: BreakerPolicy, now: float, reason: str, draw: Callable[[], float] = random.random) -> Step:
        """Open a closed or half-open breaker; one that is open stays as it is."""
        if self.state is BreakerState.OPEN:
            return Step(self)
        trips = 1
        if self.state is BreakerState.HALF_OPEN or self._closed_only_shortly(policy, now):
            trips = self.trips + 1
        opened = replace(
            self,
            state=BreakerState.OPEN,
            epoch=self.epoch + 1,
            failures=0,
            buckets=(),
            trips=trips,
            opened_at=self.opened_at if self.state is BreakerState.HALF_OPEN else now,
            retry_at=now + policy.wait_seconds(trips, draw),
            successes=0,
            permits={},
        )
        return Step(opened, self._visible(now, opened, reason, BY_ITSELF))

    def half_open(self, now: float, reason: str) -> Step:
        """Let an open one be probed now."""
        epoch = self.epoch + 1
        half = replace(self, state=BreakerState.HALF_OPEN, epoch=epoch, successes=0, permits={}, retry_at=None)
        return Step(half, self._visible(now, half, reason, BY_ITSELF))

    def close(self, now: float, reason: str) -> Step:
        """Close one that has proved itself. How often it tripped is remembered; what was set by hand stays."""
        closed = type(self)(epoch=self.epoch + 1, trips=self.trips, closed_at=now, override=self.override)
        return Step(closed, self._visible(now, closed, reason, BY_ITSELF))

    def force(self, override: Override, now: float) -> Step:
        """Set it by hand: ``forced_open`` or ``disabled``, in place of what was set before."""
        breaker, made = self.tick(now)
        forced = replace(breaker, override=override, epoch=breaker.epoch + 1, permits={}, successes=0)
        transition = breaker._moved(now, breaker.seen, override.state, override.reason, override.actor)
        return Step(forced, (*made, transition))

    def close_by_hand(self, actor: str, reason: str, now: float) -> Step:
        """Close it and forget what was counted, its override too. It goes on counting."""
        breaker, made = self.tick(now)
        closed = type(breaker)(epoch=breaker.epoch + 1, closed_at=now)
        transition = breaker._moved(now, breaker.seen, BreakerState.CLOSED, reason, actor)
        return Step(closed, (*made, transition))

    def probe_by_hand(self, actor: str, reason: str, now: float) -> Step:
        """Let an open one be probed before its wait is over. One that is not open stays as it is, and so does one that
        is set by hand.
        """
        breaker, made = self.tick(now)
        if breaker.seen is not BreakerState.OPEN:
            return Step(breaker, made)
        step = breaker.half_open(now, reason)
        return Step(step.breaker, (*made, *(one._replace(actor=actor) for one in step.transitions)))

    def end_override(self, actor: str, reason: str, now: float) -> Step:
        """Take away what was set by hand: the state beneath counts again."""
        breaker, made = self.tick(now)
        if breaker.override is None:
            return Step(breaker, made)
        free = replace(breaker, override=None, epoch=breaker.epoch + 1)
        return Step(free, (*made, breaker._moved(now, breaker.seen, free.state, reason, actor)))

    def _count(self, outcome: Outcome, policy: BreakerPolicy, now: float, draw: Callable[[], float]) -> Step:
        kind = outcome.under(policy)
        if kind is Kind.IGNORED:
            return Step(self)
        failed = kind is Kind.FAILURE
        counted = replace(self, failures=self.failures + 1 if failed else 0)
        if policy.failure_threshold is not None and counted.failures >= policy.failure_threshold:
            return counted.trip(policy, now, f"{counted.failures} failures in a row", draw)
        return counted._judge_rates(outcome, policy, now, draw)

    def _judge_rates(self, outcome: Outcome, policy: BreakerPolicy, now: float, draw: Callable[[], float]) -> Step:
        """Count a success or a failure in the window, if there is one, and open by its rates."""
        if policy.window_seconds is None:
            return Step(replace(self, buckets=()))
        failed = outcome.under(policy) is Kind.FAILURE
        slow = policy.slow_call_seconds is not None and outcome.run_seconds > policy.slow_call_seconds
        counted = replace(self, buckets=_added(self.buckets, policy.window_seconds, now, failed=failed, slow=slow))
        reason = _too_many(counted.buckets, policy)
        return Step(counted) if reason is None else counted.trip(policy, now, reason, draw)

    def _count_probe(self, outcome: Outcome, policy: BreakerPolicy, now: float, draw: Callable[[], float]) -> Step:
        if outcome.permit is None or outcome.permit not in self.permits:
            return Step(self)
        kind = outcome.under(policy)
        if kind is Kind.FAILURE:
            return self.trip(policy, now, "a probe failed", draw)
        rest = {permit: until for permit, until in self.permits.items() if permit != outcome.permit}
        if kind is Kind.IGNORED:
            return Step(replace(self, permits=rest))
        successes = self.successes + 1
        if successes < policy.half_open_successes:
            return Step(replace(self, permits=rest, successes=successes))
        return self.close(now, f"{successes} {'probe' if successes == 1 else 'probes'} succeeded")

    def _closed_only_shortly(self, policy: BreakerPolicy, now: float) -> bool:
        """Whether the breaker was closed for less time than it was last open: then the wait grows."""
        if self.closed_at is None or not self.trips:
            return False
        return now - self.closed_at < policy.wait_seconds(self.trips, lambda: 0.0)

    def _visible(self, now: float, after: "Breaker", reason: str, actor: str) -> tuple[Transition, ...]:
        """The transition, unless an override hides it."""
        return (self._moved(now, self.state, after.state, reason, actor),) if self.override is None else ()

    def _moved(self, now: float, before: BreakerState, after: BreakerState, reason: str, actor: str) -> Transition:
        return Transition(now, self.epoch + 1, before, after, reason, actor)


def _added(
    buckets: tuple[Bucket, ...], window_seconds: float, now: float, *, failed: bool, slow: bool
) -> tuple[Bucket, ...]:
    number = int(now // (window_seconds / _BUCKETS))
    kept = tuple(bucket for bucket in buckets if bucket.number > number - _BUCKETS)
    last = kept[-1] if kept and kept[-1].number >= number else Bucket(number)
    added = replace(last, calls=last.calls + 1, failures=last.failures + failed, slow=last.slow + slow)
    return (*(bucket for bucket in kept if bucket.number < added.number), added)


def _too_many(buckets: tuple[Bucket, ...], policy: BreakerPolicy) -> str | None:
    calls = sum(bucket.calls for bucket in buckets)
    if calls < policy.minimum_calls:
        return None
    for what, share, most in (
        ("failed", sum(bucket.failures for bucket in buckets) / calls, policy.failure_rate),
        ("were slow", sum(bucket.slow for bucket in buckets) / calls, policy.slow_call_rate),
    ):
        if most is not None and share >= most:
            return f"{100 * share:.0f} % of {calls} calls in {policy.window_seconds:g} s {what}"
    return None
