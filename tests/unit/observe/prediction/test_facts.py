"""From rows and beats to what the predictor takes."""

from typing import Any, cast

import pytest

from pointsman_contract.events import Beat
from pointsman_service.broker import Depths, QueueDepth
from pointsman_service.observe.prediction.facts import Runs, Unstarted, are_cut, nodes_of, reasons_of, unstarted_of
from pointsman_service.observe.prediction.prediction import Reason
from pointsman_service.store.metrics.histogram import bucket_of
from pointsman_service.store.metrics.summing import Sums
from pointsman_service.store.queues.ahead import MOST_LOOKED_AT, Ahead


def _sums(task_type: str, queue: str, run_seconds: float, runs: int) -> Sums:
    return Sums(task_type, queue, {}, {bucket_of(run_seconds): runs}, {}, 60.0)


def _depths(messages: int = 0, *, paused: bool = False, epoch: int | None = 1) -> Depths:
    return Depths(epoch, 0, {"reports": QueueDepth(messages, 0, None, False, paused)})


def _beat(name: str, **more: Any) -> Beat:
    return cast(Beat, {"name": name, "owner": f"{name}#1", "queues": ["reports"], "processes": 2} | more)


def _ahead(place: str, tasks: int, priority: int = 5, worker: str | None = None, elapsed: float | None = None) -> Ahead:
    return Ahead("reports", priority, place, "count", worker, elapsed, tasks)


RUNNING = Unstarted()
RUNS = Runs([_sums("count", "reports", 2.0, 100)])


def test_what_waits_and_what_is_sent_is_work_by_priority() -> None:
    found = unstarted_of([_ahead("waiting", 3), _ahead("sent", 2), _ahead("waiting", 7, priority=9)], RUNS, _depths())
    assert found.work["reports"][5].tasks == 5
    assert found.work["reports"][5].seconds == pytest.approx(10, rel=0.06)
    assert found.work["reports"][9].tasks == 7


def test_what_runs_is_expected_to_run_on_for_what_is_left() -> None:
    found = unstarted_of([_ahead("running", 1, worker="a", elapsed=1.5)], RUNS, _depths())
    assert found.running["a"] == [pytest.approx(0.5, abs=0.15)]
    assert not found.work["reports"]


def test_what_was_not_looked_at_is_as_those_at_the_cut() -> None:
    rows = [_ahead("waiting", MOST_LOOKED_AT), _ahead("waiting", 10, priority=9), _ahead("sent", MOST_LOOKED_AT)]
    assert are_cut(rows)
    found = unstarted_of(rows, RUNS, _depths(messages=2 * MOST_LOOKED_AT), {"reports": 100_010})
    assert found.work["reports"][5].tasks == 100_000 + 2 * MOST_LOOKED_AT
    assert found.work["reports"][9].tasks == 10


def test_few_are_not_cut() -> None:
    assert not are_cut([_ahead("waiting", MOST_LOOKED_AT - 1), _ahead("sent", MOST_LOOKED_AT)])


def test_a_type_that_ran_little_lately_is_known_from_longer_ago_or_by_its_queue() -> None:
    runs = Runs([_sums("a", "reports", 9.0, 3)], [_sums("a", "reports", 1.0, 50)])
    known, by_queue = runs.of("a", "reports"), runs.of("b", "reports")
    assert known is not None
    assert by_queue is not None
    assert known.mean == pytest.approx(1.0, rel=0.06)
    assert by_queue.mean == pytest.approx(1.0, rel=0.06)
    assert runs.of("a", "email") is None


def test_a_run_is_overdue_by_what_ran_within_the_hour_and_not_by_the_last_minutes_alone() -> None:
    runs = Runs([_sums("count", "reports", 1.0, 30)], [_sums("count", "reports", 8.0, 2)])
    known = runs.of("count", "reports")
    assert known is not None
    assert known.mean == pytest.approx(1.0, rel=0.06)
    assert not known.is_overdue(10.0)
    assert known.is_overdue(20.0)


def test_nodes_that_take_nothing_new_are_not_counted_on() -> None:
    beats = {name: _beat(name, **{name: True}) for name in ("stopping", "ejected")} | {"fine": _beat("fine")}
    (node,) = nodes_of({f"{name}#1": found for name, found in beats.items()}, {}, RUNNING)
    assert (node.queues, node.processes) == (["reports"], 2)


def test_what_runs_on_a_node_is_found_by_its_owner_as_rows_name_it() -> None:
    rows = [_ahead("running", 1, worker="a#1", elapsed=1.5), _ahead("running", 1, worker="a#0", elapsed=1.5)]
    (node,) = nodes_of({"a#1": _beat("a")}, {}, unstarted_of(rows, RUNS, _depths()))
    assert list(node.remaining) == [pytest.approx(0.5, abs=0.15)]
    assert not node.overdue


def test_what_has_run_far_longer_than_any_before_is_overdue() -> None:
    rows = [_ahead("running", 1, worker="a#1", elapsed=10.0), _ahead("running", 1, worker="a#1", elapsed=0.5)]
    (node,) = nodes_of({"a#1": _beat("a")}, {}, unstarted_of(rows, RUNS, _depths()))
    assert list(node.overdue) == [pytest.approx(8.0, rel=0.1)]
    assert list(node.remaining) == [pytest.approx(1.5, rel=0.1)]


def test_a_late_node_counts_only_where_nobody_else_takes() -> None:
    late, fine = _beat("late", queues=["reports", "email"]), _beat("fine")
    found = nodes_of({"late": late, "fine": fine}, {"late": 3.0, "fine": 0.1}, RUNNING)
    assert sorted(list(node.queues) for node in found) == [["email"], ["reports"]]
    assert [list(node.queues) for node in nodes_of({"late": late}, {"late": 3.0}, RUNNING)] == [["reports", "email"]]
    assert nodes_of({"late": late}, {"late": 4.0}, RUNNING) == []


def _reason(
    depths: Depths, beats: dict[str, Beat], silent: float = 0.0, held: tuple[str, ...] = (), watched: bool = True
) -> Reason | None:
    nodes = nodes_of(beats, dict.fromkeys(beats, silent), RUNNING)
    return reasons_of(["reports"], depths, beats, nodes, held, watched=watched)["reports"]


def test_each_reason_is_named() -> None:
    living = {"a": _beat("a")}
    assert _reason(_depths(), living) is None
    assert _reason(_depths(paused=True), living) is Reason.PAUSED
    assert _reason(_depths(epoch=None), living) is Reason.NOT_KNOWN
    assert _reason(_depths(), {}) is Reason.NO_WORKER
    assert _reason(_depths(), {}, watched=False) is Reason.NOT_KNOWN
    assert _reason(_depths(), {"a": _beat("a", ejected=True)}) is Reason.NO_WORKER
    assert _reason(_depths(), living, silent=5.0) is Reason.NOT_KNOWN
    assert _reason(_depths(), living, held=("reports",)) is Reason.BREAKER_OPEN
