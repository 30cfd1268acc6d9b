"""The wait after failures in a row."""

import pytest

from pointsman_contract.backoff import backoff_seconds


def test_wait_doubles_from_the_base_to_the_cap() -> None:
    waits = [backoff_seconds(failures, base=0.5, cap=3.0) for failures in (1, 2, 3, 4, 10_000)]
    assert waits == [0.5, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("jitter", "chance", "wait"), [(1, 0.0, 0.0), (1, 0.25, 0.5), (0.5, 0.0, 1.0), (0.5, 0.5, 1.5)]
)
def test_share_of_the_wait_is_drawn_by_chance(jitter: float, chance: float, wait: float) -> None:
    assert backoff_seconds(2, base=1.0, cap=9.0, jitter=jitter, draw=lambda: chance) == wait


def test_those_who_failed_together_do_not_come_back_together() -> None:
    waits = {backoff_seconds(3, base=1.0, cap=9.0, jitter=0.5) for _ in range(50)}
    assert len(waits) > 1
    assert 2.0 <= min(waits) <= max(waits) < 4.0
