"""The work ahead, by what the processes complete."""

import pytest

from pointsman_service.observe.prediction.flow import NOTHING, Load, Node, Work, estimate, lines
from tests.unit.observe.prediction.lines import line, tasks


def test_a_wait_is_the_work_ahead_over_the_processes() -> None:
    found = estimate(line({5: tasks(100, 1.0)}, processes=4, busy=4), 5)
    assert found.seconds == pytest.approx(100 / 4, rel=0.05)
    assert found.p50 < found.seconds < found.p95


def test_a_free_process_lets_a_task_start_at_once() -> None:
    found = estimate(line({5: tasks(1, 10.0)}, processes=4, busy=1), 5)
    assert found.rounds == 0
    assert found.p95 < 1


def test_the_last_free_process_taken_makes_the_next_one_wait() -> None:
    found = estimate(line({5: tasks(3, 10.0)}, processes=4, busy=1), 5)
    assert found.rounds > 0
    assert found.seconds > 1


def test_less_urgent_tasks_are_not_ahead() -> None:
    works = {1: tasks(1000, 1.0), 5: tasks(10, 1.0), 9: tasks(20, 1.0)}
    found = line(works, processes=1, busy=1)
    assert estimate(found, 9).seconds == pytest.approx(20, rel=0.1)
    assert estimate(found, 5).seconds == pytest.approx(30, rel=0.1)
    assert estimate(found, 0).seconds == pytest.approx(1030, rel=0.1)


def test_more_urgent_tasks_that_are_still_to_come_count_as_work() -> None:
    waits = {5: tasks(10, 1.0)}
    alone = estimate(line(waits, 1, 1), 5)
    passed = estimate(line(waits, 1, 1, arriving={9: tasks(0.5, 1.0)}), 5)
    assert passed.overtaken
    assert passed.seconds == pytest.approx(2 * alone.seconds, rel=0.1)


def test_tasks_of_the_same_priority_that_are_still_to_come_pass_nobody() -> None:
    found = estimate(line({5: tasks(10, 1.0)}, 1, 1, arriving={5: tasks(0.9, 1.0)}), 5)
    assert found.seconds == pytest.approx(10, rel=0.15)


def test_a_wait_stays_finite_however_much_overtakes() -> None:
    found = estimate(line({5: tasks(10, 1.0)}, 1, 1, arriving={9: tasks(50, 1.0)}), 5)
    assert 100 < found.seconds < 1000


def test_a_burst_of_more_urgent_tasks_is_not_expected_to_go_on_for_ever() -> None:
    found = estimate(line({1: tasks(200, 0.4)}, 4, 4, arriving={9: tasks(9.4, 0.4)}), 1)
    assert 20 < found.seconds < 150
    assert found.p95 < 1000


def test_a_queue_waits_for_those_that_its_node_empties_first() -> None:
    nodes = [Node(("critical",), 2, [0.1, 0.1]), Node(("critical", "high_priority"), 2, [0.1, 0.1])]
    loads = {"critical": Load({10: tasks(40, 1.0)}, {}), "high_priority": Load({8: tasks(10, 1.0)}, {})}
    found = lines(nodes, loads)
    # Half of what is critical goes through the other node.
    assert estimate(found["high_priority"], 8).seconds == pytest.approx(30 / 2, rel=0.1)
    assert estimate(found["critical"], 10).seconds == pytest.approx(40 / 4, rel=0.1)


def test_a_queue_without_a_process_has_no_line() -> None:
    assert lines([Node(("email",), 1, [])], {"reports": Load({}, {})}) == {}


def test_half_of_the_processes_take_twice_as_long() -> None:
    works = {5: tasks(100, 1.0)}
    assert estimate(line(works, 1, 1), 5).seconds == pytest.approx(2 * estimate(line(works, 2, 2), 5).seconds, rel=0.1)


def test_work_adds_up() -> None:
    assert NOTHING.plus(Work(1, 2, 3)).plus(Work(10, 20, 30), 0.5) == Work(6, 12, 18)
