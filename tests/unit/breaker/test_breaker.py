import pytest

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.breaker.breaker import Breaker, BreakerState, Kind, Outcome, Override, Step

POLICY = BreakerPolicy(failure_threshold=3, recovery_timeout=60, recovery_jitter=0)
RATES = BreakerPolicy(
    failure_threshold=100,
    window_seconds=10,
    minimum_calls=4,
    failure_rate=0.5,
    slow_call_seconds=2,
    slow_call_rate=0.75,
)
SUCCESS, FAILURE, IGNORED = Outcome(Kind.SUCCESS), Outcome(Kind.FAILURE), Outcome(Kind.IGNORED)


def after(breaker: Breaker, *outcomes: Outcome, policy: BreakerPolicy = POLICY, now: float = 0.0) -> Breaker:
    for outcome in outcomes:
        breaker = breaker.record(outcome, policy, now).breaker
    return breaker


def opened(now: float = 0.0) -> Breaker:
    return after(Breaker(), FAILURE, FAILURE, FAILURE, now=now)


def probing(now: float = 60.0) -> Breaker:
    return opened(now - 60.0).tick(now).breaker


def probe(breaker: Breaker, permit: str, kind: Kind, now: float) -> Step:
    return breaker.record(Outcome(kind, permit=permit), POLICY, now)


def lease(breaker: Breaker, permit: str, now: float) -> tuple[Breaker, bool]:
    step, granted = breaker.lease(permit, POLICY, now)
    return step.breaker, granted


def test_failures_in_a_row_open_it_and_say_why() -> None:
    step = after(Breaker(), FAILURE, FAILURE).record(FAILURE, POLICY, 5.0)
    assert step.breaker.seen is BreakerState.OPEN
    assert (step.breaker.opened_at, step.breaker.retry_at) == (5.0, 65.0)
    (transition,) = step.transitions
    assert transition.reason == "3 failures in a row"
    assert (transition.before, transition.after, transition.epoch) == (BreakerState.CLOSED, BreakerState.OPEN, 1)


@pytest.mark.parametrize("between", [SUCCESS])
def test_success_between_failures_begins_the_count_anew(between: Outcome) -> None:
    assert after(Breaker(), FAILURE, FAILURE, between, FAILURE, FAILURE).seen is BreakerState.CLOSED


def test_ignored_call_between_failures_changes_nothing() -> None:
    assert after(Breaker(), FAILURE, FAILURE, IGNORED, FAILURE).seen is BreakerState.OPEN


def test_open_one_lets_nothing_through_until_its_wait_is_over() -> None:
    breaker = opened()
    assert not lease(breaker, "a", 59.9)[1]
    half, granted = lease(breaker, "a", 60.0)
    assert granted
    assert half.seen is BreakerState.HALF_OPEN


def test_half_open_leases_no_more_permits_than_configured() -> None:
    breaker = probing()
    granted = []
    for number in range(64):
        breaker, was = lease(breaker, f"p{number}", 60.0)
        granted.append(was)
    assert sum(granted) == POLICY.half_open_permits


def test_permit_asked_for_twice_is_one_permit() -> None:
    breaker, _ = lease(probing(), "a", 60.0)
    breaker, granted = lease(breaker, "a", 61.0)
    assert granted
    assert len(breaker.permits) == 1


def test_permit_of_a_probe_that_never_reports_runs_out() -> None:
    breaker = probing()
    for permit in ("a", "b", "c"):
        breaker, _ = lease(breaker, permit, 60.0)
    assert not lease(breaker, "d", 119.0)[1]
    assert lease(breaker, "d", 120.0)[1]


def test_permit_that_is_renewed_outlasts_the_others_and_one_that_is_not_leased_stays_so() -> None:
    breaker, _ = lease(probing(), "a", 60.0)
    breaker, _ = lease(breaker, "b", 60.0)
    renewed = breaker.renew(["a", "c"], POLICY, 100.0).breaker
    assert set(renewed.tick(159.0).breaker.permits) == {"a"}
    assert not renewed.tick(160.0).breaker.permits


def test_probes_that_succeed_close_it() -> None:
    breaker = probing()
    for permit in ("a", "b", "c"):
        breaker, _ = lease(breaker, permit, 60.0)
        assert breaker.seen is BreakerState.HALF_OPEN
        breaker = probe(breaker, permit, Kind.SUCCESS, 61.0).breaker
    assert breaker.seen is BreakerState.CLOSED
    assert breaker.is_pristine


def test_probe_that_fails_opens_it_again_for_twice_as_long() -> None:
    breaker, _ = lease(probing(), "a", 60.0)
    step = probe(breaker, "a", Kind.FAILURE, 61.0)
    assert step.breaker.seen is BreakerState.OPEN
    assert step.breaker.retry_at == 61.0 + 120.0
    assert step.breaker.opened_at == 0.0
    assert step.transitions[0].reason == "a probe failed"


def test_wait_grows_no_further_than_its_cap() -> None:
    breaker, now = opened(), 0.0
    for _ in range(8):
        assert breaker.retry_at is not None
        now = breaker.retry_at
        breaker, _ = lease(breaker, "a", now)
        breaker = probe(breaker, "a", Kind.FAILURE, now).breaker
    assert breaker.retry_at == now + POLICY.recovery_timeout_max


def test_breaker_that_stayed_closed_long_enough_waits_its_first_time_again() -> None:
    closed = Breaker(trips=3, closed_at=0.0)
    assert after(closed, FAILURE, FAILURE, FAILURE, now=239.0).trips == 4
    assert after(closed, FAILURE, FAILURE, FAILURE, now=240.0).trips == 1


def test_jitter_adds_to_the_wait() -> None:
    policy = POLICY.model_copy(update={"recovery_jitter": 0.5, "failure_threshold": 1})
    assert Breaker().record(FAILURE, policy, 0.0, draw=lambda: 0.5).breaker.retry_at == 75.0


def test_call_without_a_permit_says_nothing_of_a_half_open_breaker() -> None:
    breaker = probing()
    assert after(breaker, FAILURE, SUCCESS, SUCCESS, SUCCESS, now=61.0) == breaker


def test_outcome_of_an_older_epoch_changes_nothing() -> None:
    closed = Breaker(epoch=7)
    old = Outcome(Kind.FAILURE, epoch=6)
    assert after(closed, old, old, old) == closed
    assert after(closed, *[Outcome(Kind.FAILURE, epoch=7)] * 3).seen is BreakerState.OPEN


def test_failure_rate_of_a_full_window_opens_it() -> None:
    breaker = after(Breaker(), SUCCESS, FAILURE, SUCCESS, policy=RATES)
    step = breaker.record(FAILURE, RATES, 1.0)
    assert step.breaker.seen is BreakerState.OPEN
    assert step.transitions[0].reason == "50 % of 4 calls in 10 s failed"


def test_calls_that_left_the_window_count_no_more() -> None:
    breaker = after(Breaker(), FAILURE, FAILURE, policy=RATES, now=0.0)
    assert after(breaker, SUCCESS, SUCCESS, SUCCESS, FAILURE, policy=RATES, now=10.5).seen is BreakerState.CLOSED


def test_slow_calls_open_it() -> None:
    slow = Outcome(Kind.SUCCESS, run_seconds=2.1)
    step = after(Breaker(), SUCCESS, slow, slow, policy=RATES).record(slow, RATES, 0.0)
    assert step.transitions[0].reason == "75 % of 4 calls in 10 s were slow"


def test_forced_open_lets_nothing_through_whatever_is_reported() -> None:
    breaker = Breaker().force(Override(BreakerState.FORCED_OPEN, "ada", "maintenance"), 0.0).breaker
    breaker = after(breaker, *[SUCCESS] * 5)
    assert not lease(breaker, "a", 1e9)[1]
    assert breaker.seen is BreakerState.FORCED_OPEN


def test_disabled_one_lets_everything_through_and_counts_nothing() -> None:
    breaker = opened().force(Override(BreakerState.DISABLED, "ada", "known fault"), 1.0).breaker
    assert lease(breaker, "a", 2.0)[1]
    assert after(breaker, *[FAILURE] * 9, now=2.0).seen is BreakerState.DISABLED


def test_override_that_expires_leaves_the_state_beneath() -> None:
    breaker = Breaker().force(Override(BreakerState.FORCED_OPEN, "ada", "an hour", expires_at=3600.0), 0.0).breaker
    step = breaker.tick(3600.0)
    assert step.breaker.seen is BreakerState.CLOSED
    assert [t.after for t in step.transitions] == [BreakerState.CLOSED]
    assert step.breaker.epoch == 2


def test_closing_by_hand_forgets_what_was_counted_and_tells_who() -> None:
    step = after(opened(), FAILURE).close_by_hand("ada", "it is back", 3.0)
    assert step.breaker.is_pristine
    assert step.transitions[-1].actor == "ada"
    assert after(step.breaker, FAILURE, FAILURE, now=4.0).seen is BreakerState.CLOSED


def test_one_that_is_open_is_probed_by_hand_before_its_time_and_tells_who() -> None:
    waits = opened()
    step = waits.probe_by_hand("ada", "they say it works", 1.0)
    assert step.breaker.seen is BreakerState.HALF_OPEN
    assert [(one.after, one.actor, one.reason) for one in step.transitions] == [
        (BreakerState.HALF_OPEN, "ada", "they say it works")
    ]
    leased, granted = step.breaker.lease("p", POLICY, 1.0)
    assert granted
    failed = leased.breaker.record(FAILURE._replace(permit="p", epoch=None), POLICY, 2.0, lambda: 0.0).breaker
    assert (failed.seen, failed.trips) == (BreakerState.OPEN, 2)


@pytest.mark.parametrize(
    "other",
    [
        Breaker(),
        opened().half_open(1.0, "its wait is over").breaker,
        opened().force(Override(BreakerState.FORCED_OPEN, "ada", "they move"), 1.0).breaker,
    ],
)
def test_one_that_does_not_wait_has_nothing_to_be_probed(other: Breaker) -> None:
    assert other.probe_by_hand("ada", "now", 2.0) == (other, ())


def test_without_a_threshold_only_the_rates_of_the_window_open_it() -> None:
    policy = RATES.model_copy(update={"failure_threshold": None, "minimum_calls": 20})
    many = after(Breaker(), *[FAILURE] * 19, policy=policy)
    assert (many.seen, many.failures) == (BreakerState.CLOSED, 19)
    assert after(many, FAILURE, policy=policy).seen is BreakerState.OPEN
