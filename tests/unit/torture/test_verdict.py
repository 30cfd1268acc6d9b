"""The verdict sees what it is there to see."""

from typing import Any

import pytest

from tests.torture.effects import Execution, overlapping
from tests.torture.load import Expected
from tests.torture.verdict import Harm, Verdict, _effects_are_right

SUCCEEDED = {"state": "succeeded", "attempt": 1, "max_attempts": 4}


def execution(attempt: int = 1, began: float = 0.0, ended: float | None = 1.0) -> Execution:
    return Execution("t", attempt, 1, began, ended)


def verdict_on(row: dict[str, Any], ran: list[Execution], harm: Harm = Harm.NONE, fails: int = 0) -> Verdict:
    found = Verdict()
    executions = {"t": ran} if ran else {}
    _effects_are_right(found, {"t": Expected(fails)}, {"t": row}, executions, harm)
    return found


def test_one_execution_of_one_attempt_is_right() -> None:
    found = verdict_on(SUCCEEDED, [execution()])
    assert (found.faults, found.duplicated, found.lost) == ([], 0, 0)


def test_success_without_an_effect_is_a_loss() -> None:
    found = verdict_on(SUCCEEDED, [], Harm.LOSS)
    assert found.lost == 1
    assert "left no effect" in found.faults[0]


@pytest.mark.parametrize("harm", [Harm.NONE, Harm.DEATHS])
def test_an_attempt_that_ran_twice_is_not_right(harm: Harm) -> None:
    found = verdict_on(SUCCEEDED, [execution(), execution(began=2.0, ended=3.0)], harm)
    assert found.duplicated == 1
    assert any("more than once" in fault for fault in found.faults)


def test_where_redis_lost_data_a_second_execution_is_counted_and_allowed() -> None:
    found = verdict_on(SUCCEEDED, [execution(), execution(began=2.0, ended=3.0)], Harm.LOSS)
    assert (found.faults, found.duplicated) == ([], 1)


def test_a_second_attempt_is_right_only_where_something_died() -> None:
    row, ran = SUCCEEDED | {"attempt": 2}, [execution(ended=None), execution(2, 2.0, 3.0)]
    assert verdict_on(row, ran, Harm.DEATHS).faults == []
    assert verdict_on(row, ran, Harm.NONE).faults
    assert verdict_on(row, ran, Harm.NONE, fails=1).faults == []


def test_two_executions_at_once_are_not_right() -> None:
    found = verdict_on(SUCCEEDED | {"attempt": 2}, [execution(), execution(2, 0.5, 3.0)], Harm.DEATHS)
    assert any("at once" in fault for fault in found.faults)


def test_an_effect_without_a_row_is_not_right() -> None:
    found = Verdict()
    _effects_are_right(found, {}, {}, {"t": [execution()]}, Harm.LOSS)
    assert "without a row" in found.faults[0]


def test_an_execution_whose_process_died_overlaps_nothing() -> None:
    assert overlapping([execution(ended=None), execution(2, 0.5, 1.0)]) == []
