"""The breaker of a task type against an obvious model: a list of everything that happened, looked through each time."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.breaker_run import LARGEST_PATIENCE
from pointsman_service.breaker.breaker import BreakerState, Kind, Outcome, Step
from pointsman_service.breaker.of_task_type import TaskTypeBreaker

POLICY = BreakerPolicy(
    failure_threshold=2, recovery_timeout=8, recovery_timeout_max=16, recovery_jitter=0, half_open_permits=2,
    half_open_successes=2, permit_seconds=5,
)  # fmt: skip
KINDS = st.sampled_from(Kind)


class Model(RuleBasedStateMachine):
    """Tasks are numbered; each fails for the first time once."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = TaskTypeBreaker()
        self.now = 0.0
        self.tasks = 0
        self.run: list[float] = []
        self.mistakes: list[float] = []
        self.told_since_half_open: list[Kind] = []
        self.failed_since_closed = 0
        self.longest_wait = 0.0

    def apply(self, step: Step) -> None:
        before = self.breaker
        assert isinstance(step.breaker, TaskTypeBreaker)
        self.breaker = step.breaker
        last, seen = before.epoch, before.seen
        for transition in step.transitions:
            assert transition.epoch > last
            assert transition.before == seen
            last, seen = transition.epoch, transition.after
        assert self.breaker.seen == seen
        if before.state is not BreakerState.HALF_OPEN or self.breaker.epoch != before.epoch:
            self.told_since_half_open = []
        if self.breaker.state is BreakerState.CLOSED:
            self.failed_since_closed = 0

    @property
    def is_half_open(self) -> bool:
        """For steps after which it may be another."""
        return self.breaker.state is BreakerState.HALF_OPEN

    @property
    def patience(self) -> int:
        """Twice as long a run for each mistake, unless the last one was long ago."""
        patience, last = 1, None
        for mistake in self.mistakes:
            patience = min(LARGEST_PATIENCE, patience * 2) if last is None or mistake - last <= 600 else 2
            last = mistake
        return patience if last is not None and self.now - last <= 600 else 1

    @rule(seconds=st.sampled_from([0, 1, 2, 5, 9, 601]))
    def wait_a_while(self, seconds: int) -> None:
        self.now += seconds
        self.apply(self.breaker.tick(self.now))

    @precondition(lambda self: self.breaker.state is BreakerState.CLOSED)
    @rule(kind=KINDS, is_first=st.booleans(), times=st.integers(1, 5))
    def tasks_end(self, kind: Kind, is_first: bool, times: int) -> None:
        for _ in range(times):
            if self.is_half_open:
                return
            self.tasks += 1
            if kind is Kind.SUCCESS:
                self.run = []
            elif kind is Kind.FAILURE and is_first:
                self.run = [] if self.run and self.now - self.run[-1] > 600 else self.run
                self.run.append(self.now)
            many, few = 2 * 2 * self.patience - 1, 2 * self.patience
            is_long = len(self.run) >= many or (len(self.run) >= few and self.now - self.run[0] >= 3.0 * self.patience)
            counted = kind is Kind.FAILURE and is_first
            self.apply(self.breaker.record(Outcome(kind, permit=str(self.tasks), is_first=is_first), POLICY, self.now))
            assert self.is_half_open == (is_long and counted)
            if self.is_half_open:
                assert self.breaker.is_first_doubt
                self.run = []

    @precondition(lambda self: self.breaker.state is BreakerState.HALF_OPEN)
    @rule(kind=KINDS)
    def a_probe_ends(self, kind: Kind) -> None:
        self.tasks += 1
        step, granted = self.breaker.lease(str(self.tasks), POLICY, self.now)
        self.apply(step)
        if not granted:
            return
        before, told = self.breaker, [*self.told_since_half_open, kind]
        self.apply(self.breaker.record(Outcome(kind, permit=str(self.tasks)), POLICY, self.now))
        if self.breaker.state is BreakerState.HALF_OPEN:
            self.told_since_half_open = told
        if self.breaker.state is BreakerState.OPEN:
            assert kind is Kind.FAILURE
            assert told.count(Kind.FAILURE) > told.count(Kind.SUCCESS), "one failed probe among successes opens nothing"
        if self.breaker.state is BreakerState.CLOSED:
            assert kind is Kind.SUCCESS
            if before.is_doubted:
                self.mistakes.append(self.now)
            else:
                assert told.count(Kind.SUCCESS) == POLICY.half_open_successes
        if before.is_doubted and kind is Kind.FAILURE:
            self.failed_since_closed += 1

    @precondition(lambda self: self.breaker.state is BreakerState.OPEN)
    @rule()
    def something_that_has_not_failed_is_held(self) -> None:
        if self.breaker.may_doubt(POLICY):
            assert self.failed_since_closed < 2 * 2
            self.apply(self.breaker.doubt(self.now))
            assert not self.breaker.takes_any

    @rule()
    def a_worker_starts(self) -> None:
        was_open = self.breaker.state is BreakerState.OPEN
        told: list[Kind] = [kind for kind in self.told_since_half_open if kind is Kind.SUCCESS]
        epoch = self.breaker.epoch
        self.apply(self.breaker.meets_new_worker(self.now))
        self.mistakes, self.failed_since_closed = [], 0
        self.run = []
        # What failed before it was started says nothing of it.
        self.told_since_half_open = told if self.breaker.epoch == epoch else []
        assert not was_open or (self.breaker.state is BreakerState.HALF_OPEN and self.breaker.takes_any)

    @invariant()
    def probes_are_few(self) -> None:
        assert len(self.breaker.permits) <= POLICY.half_open_permits
        assert not self.breaker.permits or self.breaker.state is BreakerState.HALF_OPEN

    @invariant()
    def a_wait_is_never_longer_than_the_longest(self) -> None:
        if self.breaker.state is BreakerState.OPEN:
            assert self.breaker.retry_at is not None
            assert self.breaker.retry_at - self.now <= POLICY.recovery_timeout_max

    @invariant()
    def what_it_keeps_of_a_doubt_goes_with_it(self) -> None:
        if self.breaker.state is not BreakerState.HALF_OPEN:
            assert (self.breaker.is_doubted, self.breaker.resumes_at, self.breaker.failed_probes) == (False, None, 0)


TestAgainstTheModel = Model.TestCase
TestAgainstTheModel.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
