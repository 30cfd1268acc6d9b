"""The breaker against an obvious model: a list of what happened since the last change, looked through each time."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.breaker.breaker import Breaker, BreakerState, Kind, Outcome, Override, Step

POLICY = BreakerPolicy(
    failure_threshold=3, recovery_timeout=8, recovery_timeout_max=16, recovery_jitter=0, half_open_permits=2,
    half_open_successes=2, permit_seconds=5,
)  # fmt: skip
KINDS = st.sampled_from(Kind)
PERMITS = st.sampled_from(["a", "b", "c"])


class Model(RuleBasedStateMachine):
    """Plain variables, and no cleverness."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = 0.0
        self.state = BreakerState.CLOSED
        self.since_closed: list[Kind] = []
        self.probed: list[Kind] = []
        self.permits: dict[str, float] = {}
        self.wait = 0.0
        self.opened_until = 0.0
        self.closed_at = -1000.0
        self.override: Override | None = None
        self.seen_before: BreakerState = BreakerState.CLOSED
        self.epoch_before = 0

    def apply(self, step: Step) -> None:
        last = self.breaker.epoch
        seen = self.breaker.seen
        for transition in step.transitions:
            assert transition.epoch > last
            assert transition.before == seen
            assert transition.at == self.now
            last, seen = transition.epoch, transition.after
        assert step.breaker.seen == seen
        assert step.breaker.epoch >= last
        self.breaker = step.breaker

    def time_passes(self) -> None:
        if self.override is not None and self.override.expires_at is not None and self.now >= self.override.expires_at:
            self.override = None
        if self.state is BreakerState.OPEN and self.now >= self.opened_until:
            self.state, self.probed, self.permits = BreakerState.HALF_OPEN, [], {}
        self.permits = {permit: until for permit, until in self.permits.items() if until > self.now}

    def open(self, *, again: bool) -> None:
        shortly = self.now - self.closed_at < self.wait
        self.wait = min(16.0, self.wait * 2) if again or shortly else 8.0
        self.state, self.opened_until, self.since_closed, self.permits = BreakerState.OPEN, self.now + self.wait, [], {}

    def reported(self, kind: Kind, permit: str | None) -> None:
        self.time_passes()
        if self.override is not None:
            return
        if self.state is BreakerState.CLOSED and kind is not Kind.IGNORED:
            self.since_closed.append(kind)
            if self.since_closed[-3:] == [Kind.FAILURE] * 3:
                self.open(again=False)
        elif self.state is BreakerState.HALF_OPEN and permit in self.permits:
            del self.permits[permit]
            if kind is Kind.FAILURE:
                self.open(again=True)
            elif kind is Kind.SUCCESS:
                self.probed.append(kind)
                if len(self.probed) == 2:
                    self.state, self.closed_at, self.since_closed, self.permits = BreakerState.CLOSED, self.now, [], {}

    @rule(seconds=st.integers(0, 9))
    def wait_a_while(self, seconds: int) -> None:
        self.now += seconds
        self.time_passes()
        self.apply(self.breaker.tick(self.now))

    @rule(kind=KINDS, permit=st.none() | PERMITS)
    def report(self, kind: Kind, permit: str | None) -> None:
        self.reported(kind, permit)
        self.apply(self.breaker.record(Outcome(kind, permit=permit), POLICY, self.now))

    @precondition(lambda self: self.breaker.epoch > 0)
    @rule(kind=KINDS, permit=st.none() | PERMITS)
    def report_of_an_older_epoch(self, kind: Kind, permit: str | None) -> None:
        self.time_passes()
        old = Outcome(kind, epoch=self.breaker.epoch - 1, permit=permit)
        self.apply(self.breaker.record(old, POLICY, self.now))

    @rule(permit=PERMITS)
    def ask(self, permit: str) -> None:
        self.time_passes()
        state = self.state if self.override is None else self.override.state
        expected = state in (BreakerState.CLOSED, BreakerState.DISABLED)
        if state is BreakerState.HALF_OPEN and (permit in self.permits or len(self.permits) < 2):
            expected = True
            self.permits[permit] = self.now + 5
        step, granted = self.breaker.lease(permit, POLICY, self.now)
        self.apply(step)
        assert granted == expected

    @rule(state=st.sampled_from([BreakerState.FORCED_OPEN, BreakerState.DISABLED]), lasts=st.none() | st.integers(1, 9))
    def set_by_hand(self, state: BreakerState, lasts: int | None) -> None:
        self.time_passes()
        until = None if lasts is None else self.now + lasts
        self.override = Override(state, "ada", "because", until)
        self.permits, self.probed = {}, []
        self.apply(self.breaker.force(self.override, self.now))

    @rule()
    def end_what_was_set_by_hand(self) -> None:
        self.time_passes()
        self.override = None
        self.apply(self.breaker.end_override("ada", "done", self.now))

    @rule()
    def probe_by_hand(self) -> None:
        self.time_passes()
        if self.state is BreakerState.OPEN and self.override is None:
            self.state, self.probed, self.permits = BreakerState.HALF_OPEN, [], {}
        self.apply(self.breaker.probe_by_hand("ada", "they say it works", self.now))

    @rule()
    def close_by_hand(self) -> None:
        self.state, self.override, self.permits, self.since_closed = BreakerState.CLOSED, None, {}, []
        self.closed_at, self.wait = -1000.0, 0.0
        self.apply(self.breaker.close_by_hand("ada", "it is back", self.now))

    @invariant()
    def callers_see_what_the_model_says(self) -> None:
        assert self.breaker.seen == (self.state if self.override is None else self.override.state)
        assert dict(self.breaker.permits) == self.permits

    @invariant()
    def epoch_only_rises_and_moves_with_what_is_seen(self) -> None:
        assert self.breaker.epoch >= self.epoch_before
        if self.breaker.seen != self.seen_before:
            assert self.breaker.epoch > self.epoch_before
        self.epoch_before, self.seen_before = self.breaker.epoch, self.breaker.seen

    @invariant()
    def never_more_probes_than_configured(self) -> None:
        assert len(self.breaker.permits) <= POLICY.half_open_permits


TestAgainstTheModel = Model.TestCase
TestAgainstTheModel.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
