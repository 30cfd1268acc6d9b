"""The circuit breaker of a task type, pure: it tells what is wrong with the code from what is wrong with some inputs.

    closed ──a run of failures──> half_open, in doubt ──a probe succeeds──> closed: some inputs are bad
      ^                             │           ^
      │                             │           │ a task that has not failed yet asks
      │                   probes fail           │
      │                             v           │
      └──probes succeed── half_open <──wait── open

A run of failures is of different tasks. It is no proof: so it opens nothing but a *doubt*, in which tasks that have not
failed yet are tried at once. One that succeeds says that the code is well, and that the inputs of the others are not:
the breaker closes, and takes a run twice as long for the next doubt. Only when those fail too it is open, and waits.
Even then some that have not failed are tried before the wait is over, those least like the ones that failed first.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.breaker_run import LARGEST_PATIENCE, Run, run_that_opens
from pointsman_service.breaker.breaker import BY_ITSELF, Breaker, BreakerState, Kind, Outcome, Step

_MEMORY_SECONDS = 600.0
"""That some inputs were bad is remembered for so long."""
_MOST_KEPT = 20


@dataclass(frozen=True, slots=True)
class TaskTypeBreaker(Breaker):
    """One that counts tasks and not calls. ``failures`` are of different tasks."""

    run_began_at: float | None = None
    """The first failure of the run, while closed."""
    run_last_at: float | None = None
    failing: tuple[str, ...] = ()
    """The tasks of the run, the newest last, as far as they are known; at most 20."""
    accused: tuple[str, ...] = ()
    """Those of the run that opened it last, and the probes that failed since."""
    is_doubted: bool = False
    """While half open: whether nothing was waited for. One success then says that the code is well."""
    doubted_until: float | None = None
    """Then also tasks that have failed before are tried, as after a wait."""
    resumes_at: float | None = None
    """While half open before its wait was over: when that ends. The wait goes on if the probes fail."""
    failed_probes: int = 0
    """Since it became half open."""
    is_by_rates: bool = False
    """Whether the rates of a window opened it. Successes are a part of them, so that one says nothing against it."""
    failed_in_doubt: int = 0
    """Probes that failed since it left closed, of those that nothing was waited for."""
    patience: int = 1
    """How many times as long as at first a run has to be."""
    mistaken_at: float | None = None
    """When it closed last because only some inputs were bad."""
    bad: tuple[str, ...] = ()
    """The tasks that failed then."""
    well: tuple[str, ...] = ()
    """The one that succeeded then. What tells it from the bad ones is what is bad."""

    def run_that_opens(self, policy: BreakerPolicy) -> Run | None:
        """Of failures, by what it has seen."""
        return run_that_opens(policy, self.patience)

    @property
    def turns_at(self) -> float | None:
        """Also when a doubt is over."""
        return self.doubted_until if self.is_doubted else self.retry_at

    @property
    def is_mistaken(self) -> bool:
        """Whether it closed because only some inputs are bad: nothing was down, and nobody needs to be spared."""
        return self.state is BreakerState.CLOSED and self.closed_at is not None and self.closed_at == self.mistaken_at

    @property
    def is_first_doubt(self) -> bool:
        """Whether nothing but a run of failures speaks against it so far: it was not open."""
        return self.seen is BreakerState.HALF_OPEN and self.is_doubted and self.resumes_at is None

    @property
    def may_recognise(self) -> bool:
        """Whether it may be asked if what failed is known to be bad."""
        return self.is_first_doubt and bool(self.bad)

    @property
    def takes_any(self) -> bool:
        """Whether also a task that has failed before may be a probe now: it half opened after its wait."""
        return self.state is BreakerState.HALF_OPEN and not self.is_doubted

    def tick(self, now: float) -> Step:
        """What time alone changes: also a doubt ends in which nothing was decided, and what was learnt is forgotten."""
        step = Breaker.tick(self, now)
        breaker = _of(step.breaker)
        if breaker.mistaken_at is not None and now - breaker.mistaken_at > _MEMORY_SECONDS:
            breaker = breaker._without_mistakes()
        if breaker.is_doubted and breaker.doubted_until is not None and now >= breaker.doubted_until:
            breaker = replace(breaker, is_doubted=False, resumes_at=None)
        return Step(breaker, step.transitions)

    def may_doubt(self, policy: BreakerPolicy) -> bool:
        """Whether tasks that have not failed may be tried before its wait is over."""
        if self.is_by_rates:
            return False
        return self.seen is BreakerState.OPEN and self.failed_in_doubt < 2 * self._tries(policy)

    def wants_others(self, policy: BreakerPolicy) -> bool:
        """Whether probes must differ from those that failed: enough of those like them were tried."""
        return not self.takes_any and self.failed_in_doubt >= self._tries(policy)

    def doubt(self, now: float) -> Step:
        """Try tasks that have not failed, before the wait of an open one is over."""
        step = self.half_open(now, "tasks that have not failed are tried")
        half = replace(_of(step.breaker), is_doubted=True, doubted_until=self.retry_at, resumes_at=self.retry_at)
        return Step(half, step.transitions)

    def recognise(self, now: float) -> Step:
        """Close a first doubt: all that failed is what was found to be bad before, and says nothing of others."""
        return self._mistaken(now).close(now, "inputs that are known to be bad failed again")

    def meets_new_worker(self, now: float) -> Step:
        """A worker was started that offers the type: perhaps its code was mended. It is probed at once."""
        known = replace(self._without_mistakes(), failed_in_doubt=0)
        if self.state is BreakerState.CLOSED:
            # A run that began with other workers says nothing of this one, nor does what they are still at.
            return Step(replace(known._without_run(), epoch=self.epoch + 1) if self.failures else known)
        if self.state is BreakerState.HALF_OPEN and not self.is_doubted:
            return Step(replace(known, failed_probes=0))
        step = known.half_open(now, "a worker was started that offers it")
        waits = self.retry_at if self.state is BreakerState.OPEN else self.resumes_at
        return Step(replace(_of(step.breaker), resumes_at=waits), step.transitions)

    def half_open(self, now: float, reason: str) -> Step:
        """Let it be probed now."""
        step = Breaker.half_open(self, now, reason)
        return Step(_of(step.breaker)._without_probes(), step.transitions)

    def trip(self, policy: BreakerPolicy, now: float, reason: str, draw: Callable[[], float] = random.random) -> Step:
        """Open a closed or half-open breaker; one that is open stays as it is."""
        step = Breaker.trip(self, policy, now, reason, draw)
        if step.breaker is self:
            return step
        opened = _of(step.breaker)._without_probes()
        if self.state is BreakerState.CLOSED:
            # A run makes a doubt first.
            opened = replace(opened._without_run(), is_by_rates=True, accused=self.failing, failed_in_doubt=0)
        return Step(opened, step.transitions)

    def close(self, now: float, reason: str) -> Step:
        """Close one that has proved itself."""
        step = Breaker.close(self, now, reason)
        learnt = replace(
            _of(step.breaker),
            patience=self.patience,
            mistaken_at=self.mistaken_at,
            accused=self.accused,
            bad=self.bad,
            well=self.well,
        )
        return Step(learnt, step.transitions)

    def _count(self, outcome: Outcome, policy: BreakerPolicy, now: float, draw: Callable[[], float]) -> Step:
        kind = outcome.under(policy)
        if kind is Kind.IGNORED:
            return Step(self)
        counted = self
        if kind is Kind.SUCCESS:
            counted = self._without_run()
        elif outcome.is_first:
            counted = self._with_failure(outcome.permit, policy, now)
            assert counted.run_began_at is not None
            run = self.run_that_opens(policy)
            if run is not None and run.opens(counted.failures, now - counted.run_began_at):
                return counted._suspect(policy, now)
        return counted._judge_rates(outcome, policy, now, draw)

    def _with_failure(self, task: str | None, policy: BreakerPolicy, now: float) -> Self:
        run = self.run_that_opens(policy)
        if self.run_last_at is None or (run is not None and now - self.run_last_at > run.age):
            self = replace(self, failures=0, run_began_at=now, failing=())
        failing = (*self.failing, task)[-_MOST_KEPT:] if task is not None else self.failing
        return replace(self, failures=self.failures + 1, run_last_at=now, failing=failing)

    def _suspect(self, policy: BreakerPolicy, now: float) -> Step:
        reason = f"{self.failures} tasks in a row failed; others are tried"
        half = replace(
            self._without_probes(),
            state=BreakerState.HALF_OPEN,
            epoch=self.epoch + 1,
            failures=0,
            buckets=(),
            trips=self.trips if self._closed_only_shortly(policy, now) else 0,
            opened_at=now,
            retry_at=None,
            successes=0,
            permits={},
            run_began_at=None,
            run_last_at=None,
            accused=self.failing,
            failing=(),
            is_doubted=True,
            doubted_until=now + policy.recovery_timeout,
            is_by_rates=False,
            failed_in_doubt=0,
        )
        return Step(half, self._visible(now, half, reason, BY_ITSELF))

    def _count_probe(self, outcome: Outcome, policy: BreakerPolicy, now: float, draw: Callable[[], float]) -> Step:
        if outcome.permit is None or outcome.permit not in self.permits:
            return Step(self)
        kind = outcome.under(policy)
        rest = {permit: until for permit, until in self.permits.items() if permit != outcome.permit}
        if kind is Kind.IGNORED:
            return Step(replace(self, permits=rest))
        if kind is Kind.SUCCESS:
            return replace(self, permits=rest, successes=self.successes + 1)._succeeded(outcome.permit, policy, now)
        failed = replace(
            self,
            permits=rest,
            failed_probes=self.failed_probes + 1,
            failed_in_doubt=self.failed_in_doubt + self.is_doubted,
            accused=(*self.accused, outcome.permit)[-_MOST_KEPT:],
        )
        return failed._failed(policy, now, draw)

    def _succeeded(self, task: str, policy: BreakerPolicy, now: float) -> Step:
        if self.is_doubted:
            wiser = replace(self._mistaken(now), bad=self.accused, well=(task,))
            return wiser.close(now, "a task that had not failed succeeded: some inputs are bad")
        if self.successes < policy.half_open_successes:
            return Step(self)
        return self.close(now, f"{self.successes} {'probe' if self.successes == 1 else 'probes'} succeeded")

    def _failed(self, policy: BreakerPolicy, now: float, draw: Callable[[], float]) -> Step:
        if self.resumes_at is not None and self.is_doubted and not self.permits and not self.successes:
            return self._resume(now)
        if self.failed_probes < policy.half_open_permits * (1 + self.successes):
            return Step(self)
        if self.resumes_at is not None and self.resumes_at > now:
            return self._resume(now)
        reason = f"{self.failed_probes} of {self.failed_probes + self.successes} probes failed"
        return self.trip(policy, now, reason, draw)

    def _resume(self, now: float) -> Step:
        """Wait on: what was tried before the wait was over has failed too."""
        waits = replace(
            self._without_probes(),
            state=BreakerState.OPEN,
            epoch=self.epoch + 1,
            retry_at=self.resumes_at,
            successes=0,
            permits={},
        )
        return Step(waits, self._visible(now, waits, "what was tried failed too", BY_ITSELF))

    def _mistaken(self, now: float) -> Self:
        return replace(self, patience=min(2 * self.patience, LARGEST_PATIENCE), mistaken_at=now, trips=0)

    def _without_run(self) -> Self:
        return replace(self, failures=0, run_began_at=None, run_last_at=None, failing=())

    def _without_mistakes(self) -> Self:
        return replace(self, patience=1, mistaken_at=None, bad=(), well=())

    def _without_probes(self) -> Self:
        return replace(self, is_doubted=False, doubted_until=None, resumes_at=None, failed_probes=0)

    @staticmethod
    def _tries(policy: BreakerPolicy) -> int:
        return policy.failure_threshold or policy.half_open_permits


def _of(breaker: Breaker) -> TaskTypeBreaker:
    assert isinstance(breaker, TaskTypeBreaker)
    return breaker
