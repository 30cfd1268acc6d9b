from pointsman_service.now.picture import Shift
from pointsman_service.now.shifts import shifts
from pointsman_service.store.metrics.counters import COUNTERS
from pointsman_service.store.metrics.histogram import bucket_of
from pointsman_service.store.metrics.summing import Sums


def sums(task_type: str, *, succeeded: int = 0, failed: int = 0, seconds: float = 0.1) -> Sums:
    runs = succeeded + failed
    counts = dict.fromkeys(COUNTERS, 0.0) | {"succeeded": succeeded, "failed": failed, "executions": runs}
    return Sums(task_type, None, counts, {bucket_of(seconds): runs}, {}, 900.0)


def test_type_that_begins_to_fail_is_told_with_both_figures() -> None:
    before, lately = [sums("charge", succeeded=1000, failed=2)], [sums("charge", succeeded=10, failed=30)]

    assert shifts(before, lately) == (Shift("charge", "failure_rate", 0.002, 0.75, 40),)


def test_type_that_takes_longer_is_told_and_what_moved_most_comes_first() -> None:
    before = [sums("charge", succeeded=100, seconds=0.5), sums("report", succeeded=100, seconds=0.5)]
    lately = [sums("charge", succeeded=50, seconds=1.2), sums("report", succeeded=50, seconds=9.0)]

    assert [(one.task_type, one.figure) for one in shifts(before, lately)] == [
        ("report", "run_seconds_p95"),
        ("charge", "run_seconds_p95"),
    ]


def test_what_moved_little_is_new_or_ran_seldom_is_not_told() -> None:
    before = [
        sums("steady", succeeded=960, failed=40),
        sums("seldom", succeeded=100),
        sums("quick", succeeded=100, seconds=0.01),
    ]
    lately = [
        sums("steady", succeeded=95, failed=5),
        sums("seldom", failed=5),
        sums("quick", succeeded=100, seconds=0.05),
        sums("new", failed=100),
    ]

    assert shifts(before, lately) == ()
