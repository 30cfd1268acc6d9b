from datetime import UTC, datetime

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.breaker.breaker import Breaker, BreakerState, Override
from pointsman_service.breaker.entry import Entry
from pointsman_service.observe.breakers import BreakerNow, SetByHand, breaker_now


def now_of(breaker: Breaker) -> BreakerNow:
    return breaker_now(Entry(("dependency", "smtp"), breaker, BreakerPolicy(), has_own_policy=False, policy_version=0))


def test_open_breaker_tells_when_probes_pass() -> None:
    now = now_of(Breaker(state=BreakerState.OPEN, opened_at=0.0, retry_at=60.0, trips=1))

    assert (now.state, now.opened_at) == (BreakerState.OPEN, datetime(1970, 1, 1, tzinfo=UTC))
    assert now.retry_at == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)


def test_what_was_set_by_hand_stands_above_what_the_breaker_would_do() -> None:
    now = now_of(Breaker(state=BreakerState.CLOSED, override=Override(BreakerState.FORCED_OPEN, "ada", "they migrate")))

    assert (now.state, now.retry_at) == (BreakerState.FORCED_OPEN, None)
    assert now.by_hand == SetByHand(BreakerState.FORCED_OPEN, "ada", "they migrate", None)


def test_half_open_breaker_counts_the_permits_that_are_leased() -> None:
    assert now_of(Breaker(state=BreakerState.HALF_OPEN, permits={"a": 60.0, "b": 61.0}, successes=1)).probes == 2
