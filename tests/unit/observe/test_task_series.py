import pytest

from pointsman_service.observe.task_series import LONGEST_WINDOW, Question, fault_of, usual_step

DAY = 86_400.0


@pytest.mark.parametrize("window", [1.0, 3600.0, 2 * DAY, 2.2 * DAY, 2.5 * DAY, 60 * DAY, 120 * DAY])
@pytest.mark.parametrize("group_by", ["none", "queue"])
def test_without_a_step_no_window_of_few_days_is_refused_however_many_groups(window: float, group_by: str) -> None:
    step = usual_step(window)
    assert window / step <= 120
    assert fault_of(Question(["submitted"], group_by, window, None, step, 50)) is None  # type: ignore[arg-type]


def test_without_a_step_the_longest_window_is_told() -> None:
    step = usual_step(LONGEST_WINDOW)
    assert fault_of(Question(["submitted"], "none", LONGEST_WINDOW, None, step, 10)) is None
    assert fault_of(Question(["submitted"], "none", LONGEST_WINDOW + 1, None, step, 10)) is not None
