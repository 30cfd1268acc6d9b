from datetime import UTC, datetime, timedelta

from pointsman_service.observe.history import Figure, points_of, steps_of, usual_step
from pointsman_service.store.metrics.history import PointRow

_AT = datetime(2026, 11, 28, 8, 0, tzinfo=UTC)


def test_a_step_that_lies_partly_in_the_window_is_whole() -> None:
    steps = list(steps_of(_AT + timedelta(seconds=90), _AT + timedelta(seconds=181), 60))
    assert steps == [_AT + timedelta(minutes=minute) for minute in (1, 2, 3)]
    assert list(steps_of(_AT, _AT, 60)) == [_AT - timedelta(minutes=1)]
    assert list(steps_of(_AT + timedelta(hours=5), _AT + timedelta(hours=6), 86_400)) == [_AT.replace(hour=0)]


def test_a_step_in_which_nobody_looked_is_a_gap_and_no_zero() -> None:
    steps = [_AT, _AT + timedelta(minutes=1)]
    rows = [
        PointRow("email", _AT, "depth", 4, 0.0, 0.0, 0.0, 0.0),
        PointRow("email", _AT, "oldest_wait_seconds", 3, 6.0, 1.0, 3.0, 2.0),
    ]
    seen, gap = points_of(rows, steps, ("depth", "oldest_wait_seconds", "consumers"))
    assert seen.samples == 4
    assert seen.figures == {
        "depth": Figure(0.0, 0.0, 0.0, 0.0),
        "oldest_wait_seconds": Figure(2.0, 1.0, 3.0, 2.0),
        "consumers": None,
    }
    assert (gap.at, gap.samples) == (steps[1], 0)
    assert set(gap.figures.values()) == {None}


def test_the_usual_step_of_any_window_makes_few_points() -> None:
    for window in (60.0, 3600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0, 3 * 366 * 86_400.0):
        assert window / usual_step(window) <= 120
    assert usual_step(3600.0) == 60
