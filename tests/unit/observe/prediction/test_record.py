"""What became of predictions corrects and chooses the estimators."""

import random

from pointsman_service.observe.prediction.arrivals import Arrivals
from pointsman_service.observe.prediction.flow import Work
from pointsman_service.observe.prediction.forecast import QueueForecast, tell
from pointsman_service.observe.prediction.prediction import Basis, Confidence
from pointsman_service.observe.prediction.record import QueueRecord
from pointsman_service.observe.prediction.run_times import RunTimes
from pointsman_service.store.metrics.histogram import bucket_of
from tests.unit.observe.prediction.lines import line, tasks


def _play(record: QueueRecord, waits: list[float], depths: list[float]) -> list[bool]:
    """Whether each wait was within the p95 told before it."""
    within = []
    for number, (waited, depth) in enumerate(zip(waits, depths, strict=True)):
        found = line({5: tasks(depth, 1.0)}, processes=1, busy=1)
        told = tell(QueueForecast(None, found, record.ratios(), record.waits(), record.better()), 5)
        assert told.prediction.p95_seconds is not None
        within.append(waited <= told.prediction.p95_seconds)
        record.compare(told, waited, float(100 * number))
    return within


def test_an_estimator_that_is_always_half_of_it_is_corrected() -> None:
    chance, record = random.Random(1), QueueRecord()
    depths = [chance.uniform(5, 15) for _ in range(400)]
    within = _play(record, [2 * depth * chance.uniform(0.8, 1.2) for depth in depths], depths)
    assert 0.9 <= sum(within[100:]) / 300 <= 0.99
    (ratio,) = record.ratios().values()
    assert 1.7 < ratio.middle < 2.3
    assert ratio.confidence is Confidence.GOOD


def test_waits_that_follow_the_work_ahead_are_better_told_by_flow() -> None:
    chance, record = random.Random(2), QueueRecord()
    depths = [chance.uniform(5, 15) for _ in range(300)]
    _play(record, [depth * chance.uniform(0.95, 1.05) for depth in depths], depths)
    assert set(record.better().values()) == {Basis.FLOW}


def test_waits_that_have_nothing_to_do_with_it_are_better_told_by_history() -> None:
    chance, record = random.Random(3), QueueRecord()
    depths = [chance.uniform(5, 15) for _ in range(300)]
    _play(record, [chance.uniform(3.0, 3.2) for _ in depths], depths)
    assert set(record.better().values()) == {Basis.HISTORY}


def test_too_few_comparisons_choose_nobody() -> None:
    record = QueueRecord()
    _play(record, [10.0] * 40, [10.0] * 40)
    assert record.better() == {}


def test_a_rate_forgets_a_burst() -> None:
    arrivals = Arrivals()
    for _ in range(60):
        arrivals.pass_by(1.0, {("reports", 5): Work(10, 10, 10)})
    assert 9 < arrivals.of("reports")[5].tasks < 11
    for _ in range(120):
        arrivals.pass_by(1.0, {})
    assert arrivals.of("reports")[5].tasks < 0.5


def test_what_ran_longer_than_any_before_may_run_on() -> None:
    runs = RunTimes.of({bucket_of(1.0): 90, bucket_of(10.0): 10})
    assert runs is not None
    assert 1.8 < runs.mean < 2.0
    assert runs.remaining(0.0) > 1.8
    # Whatever runs for two seconds is one of the long ones.
    assert 7.5 < runs.remaining(2.0) < 8.5
    assert runs.remaining(30.0) > 15
    assert RunTimes.of({}) is None
