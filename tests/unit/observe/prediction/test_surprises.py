"""What runs far longer than all before it says something of what waits behind it."""

import pytest

from pointsman_service.observe.prediction.facts import Runs, nodes_of, unstarted_of
from pointsman_service.observe.prediction.flow import KINDS, Load, Node, lines
from pointsman_service.observe.prediction.forecast import Bounds, QueueForecast, tell
from pointsman_service.observe.prediction.prediction import Basis, Confidence, Prediction
from pointsman_service.observe.prediction.run_times import RunTimes
from pointsman_service.observe.prediction.surprises import Surprises
from pointsman_service.store.metrics.histogram import bucket_of
from pointsman_service.store.metrics.summing import Sums
from pointsman_service.store.queues.ahead import Ahead
from tests.unit.observe.prediction.test_facts import _beat, _depths

KEY = ("report", "reports")
QUICK = {bucket_of(1.0): 15}
USUAL = RunTimes.of(QUICK)
TASKS, LASTS = 12, 20.0
USUAL_KINDS = range(KINDS // 2, 3 * KINDS // 4)


def _running(elapsed: float, worker: str = "a#1", tasks: int = 1) -> Ahead:
    return Ahead("reports", 5, "running", "report", worker, elapsed, tasks)


def _usual(task_type: str, queue: str) -> RunTimes | None:
    return USUAL


def _told(moment: float, surprises: Surprises, processes: int = 1) -> tuple[Prediction, float]:
    """What is told to the last of twelve tasks of 20 s, whose type took 1 s, and how long it really goes on waiting."""
    ended = int(moment // LASTS) * processes
    rows = [_running(moment % LASTS, tasks=processes)]
    left = TASKS - ended - processes - 1
    if left:
        rows.append(Ahead("reports", 5, "sent", "report", None, None, left))
    recent = {bucket_of(LASTS): ended} if ended else {}
    runs = Runs([Sums(*KEY, {}, recent, {}, 60.0)] if recent else [], [Sums(*KEY, {}, QUICK, {}, 3600.0)])
    runs.believe(surprises.see(rows, runs.usual, runs.recent, moment))
    unstarted = unstarted_of(rows, runs, _depths())
    nodes = nodes_of({"a#1": _beat("a", processes=processes)}, {}, unstarted)
    line = lines(nodes, {"reports": Load(unstarted.work["reports"], {})})["reports"]
    # The record of better days says that everything starts within a second.
    days = {kind: Bounds(0.5, 1.0, Confidence.GOOD) for kind in USUAL_KINDS}
    found = tell(QueueForecast(None, line, days, days, dict.fromkeys(USUAL_KINDS, Basis.HISTORY)), 5).prediction
    rounds = (left + processes) // processes
    return found, rounds * LASTS - moment % LASTS


@pytest.mark.parametrize("processes", [1, 2])
def test_tasks_behind_runs_that_are_unlike_all_before_are_told_to_wait(processes: int) -> None:
    surprises = Surprises()
    for moment in range(1, 100):
        told, truth = _told(float(moment), surprises, processes)
        if moment < 5:
            # Little is unusual yet.
            continue
        assert told.p50_seconds is not None
        assert told.p95_seconds is not None
        assert truth <= told.p95_seconds < 10 * truth + 200, moment
        assert told.p50_seconds >= 0.1 * truth, moment
        assert told.confidence is Confidence.LOW
        if moment > LASTS + 2:
            assert told.p50_seconds >= 0.4 * truth, moment


def test_the_next_one_waits_for_the_one_process_however_long_that_has_run() -> None:
    rows = [_running(10.0)]
    runs = Runs([], [Sums(*KEY, {}, QUICK, {}, 3600.0)])
    unstarted = unstarted_of(rows, runs, _depths())
    nodes = nodes_of({"a#1": _beat("a", processes=1)}, {}, unstarted)
    found = tell(QueueForecast(None, lines(nodes, {"reports": Load({}, {})})["reports"]), 5).prediction
    assert found.p50_seconds == pytest.approx(9, rel=0.2)
    assert found.p95_seconds is not None
    assert found.p95_seconds > 100


def test_one_that_hangs_makes_nobody_wait_where_others_go_on() -> None:
    ahead = {5: Runs([], [Sums(*KEY, {}, QUICK, {}, 3600.0)]).work(*KEY, 30)}
    hangs = Node(["reports"], 4, [0.5, 0.5, 0.5], [3600.0])
    without = Node(["reports"], 3, [0.5, 0.5, 0.5])
    found, expected = (
        tell(QueueForecast(None, lines([node], {"reports": Load(ahead, {})})["reports"]), 5).prediction
        for node in (hangs, without)
    )
    assert found.p50_seconds == expected.p50_seconds
    assert found.confidence == expected.confidence


def test_what_others_do_as_usual_meanwhile_says_that_it_is_one_task_alone() -> None:
    surprises = Surprises()
    assert KEY in surprises.see([_running(10.0)], _usual, {}, 10.0)
    assert not surprises.see([_running(15.0)], _usual, {KEY: {bucket_of(1.0): 1}}, 15.0)
    assert not surprises.see([_running(20.0)], _usual, {KEY: {bucket_of(1.0): 1}}, 20.0)


def test_the_smaller_part_of_what_runs_is_no_surprise() -> None:
    rows = [_running(10.0), _running(0.5, "b#1"), _running(0.7, "c#1")]
    assert not Surprises().see(rows, _usual, {}, 10.0)


def test_a_surprise_is_forgotten_after_a_while() -> None:
    surprises = Surprises()
    assert surprises.see([_running(10.0)], _usual, {}, 10.0)
    assert surprises.see([], _usual, {}, 100.0)
    assert not surprises.see([], _usual, {}, 131.0)


def test_few_runs_are_no_usual_ones() -> None:
    few = RunTimes.of({bucket_of(1.0): 9})
    assert not Surprises().see([_running(10.0)], lambda *_: few, {}, 10.0)


def test_one_run_of_long_ago_does_not_make_every_late_one_wait_as_long() -> None:
    runs = RunTimes.of({bucket_of(1.0): 1000, bucket_of(1800.0): 1})
    assert runs is not None
    assert runs.remaining(2.0) == pytest.approx(2.0, rel=0.5)
    several = RunTimes.of({bucket_of(1.0): 1000, bucket_of(60.0): 20})
    assert several is not None
    assert several.remaining(2.0) == pytest.approx(58.0, rel=0.1)
