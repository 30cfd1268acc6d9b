import pytest

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.reconcile.ramp import Ramp, released_by

POLICY = BreakerPolicy(release_per_second=10)


@pytest.mark.parametrize(("seconds", "tasks"), [(0, 0), (1, 10), (5, 50), (7, 90), (10, 150), (15, 350), (20, 750)])
def test_the_rate_doubles_every_five_seconds(seconds: float, tasks: int) -> None:
    assert released_by(10, seconds) == pytest.approx(tasks)


def test_one_may_go_at_once_and_never_more_than_the_rate_in_all() -> None:
    ramp = Ramp(100.0)
    assert ramp.room(POLICY, 100.0) == 1
    ramp.let_go(1)
    assert ramp.room(POLICY, 100.0) == 0
    assert ramp.room(POLICY, 101.0) == 10
    ramp.let_go(10)
    assert ramp.room(POLICY, 105.0) == 40


def test_a_ramp_that_ran_for_a_year_is_still_a_number() -> None:
    assert Ramp(0.0).room(POLICY, 3e7) > 1_000_000
