from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pointsman_contract.retry import RetryPolicy


def test_the_default_policy_is_the_documented_one() -> None:
    assert RetryPolicy().model_dump() == {
        "max_retries": 3,
        "interval_start": 0.0,
        "interval_step": 2.0,
        "interval_max": 10.0,
        "jitter": True,
    }
    assert RetryPolicy().max_attempts == 4


def test_backoff_doubles_up_to_its_maximum() -> None:
    assert [RetryPolicy().backoff(retry) for retry in (1, 2, 3, 4, 5000)] == [2, 4, 8, 10, 10]
    assert RetryPolicy(interval_start=1, interval_step=0).backoff(9) == 1


@given(retry=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_full_jitter_draws_between_zero_and_the_backoff(retry: int, chance: float) -> None:
    policy = RetryPolicy()
    assert policy.delay(retry, lambda: chance) == chance * policy.backoff(retry)


def test_a_fixed_delay_is_never_drawn() -> None:
    assert [RetryPolicy.fixed(3, 30).delay(retry) for retry in (1, 2, 100)] == [30, 30, 30]


@pytest.mark.parametrize(
    ("given_", "named"),
    [
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": 1000}, "max_retries"),
        ({"interval_step": -1}, "interval_step"),
        ({"interval_start": 11}, "interval_start"),
        ({"retry_errors": None}, "retry_errors"),
        ({"interval_max": float("inf")}, "interval_max"),
    ],
)
def test_a_bad_or_unknown_key_is_named(given_: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        RetryPolicy(**given_)
