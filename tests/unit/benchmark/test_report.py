import json
from pathlib import Path

import pytest

from tests.benchmark.history_calls import Asked
from tests.benchmark.report import Report, Round
from tests.benchmark.rounds import FEWEST, in_turn, play

ROUNDS: list[Round] = [
    {"ours": 100.0, "theirs": 10.0},
    {"ours": 300.0, "theirs": 100.0},
    {"ours": 200.0, "theirs": 40.0},
]


def report(**changes: object) -> Report:
    fields = {"name": "b", "rounds": ROUNDS, "shown": ["ours", "theirs"], "unit": "tasks a second"}
    return Report(**(fields | {"compared": {"ours_vs_theirs": ("ours", "theirs")}} | changes))  # type: ignore[arg-type]


def test_results_are_medians_over_the_rounds() -> None:
    assert report().results == {"ours": 200.0, "theirs": 40.0}


def test_a_ratio_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_medians() -> None:
    rounds: list[Round] = [
        {"ours": 100.0, "theirs": 10.0},
        {"ours": 90.0, "theirs": 30.0},
        {"ours": 50.0, "theirs": 25.0},
    ]
    assert report(rounds=rounds).ratios == {"ours_vs_theirs": 3.0}


def test_a_short_wait_in_seconds_is_not_rounded_away() -> None:
    assert report(rounds=[{"wait_seconds": 0.000123}], shown=["wait_seconds"], compared={}).results == {
        "wait_seconds": 0.000123
    }


def test_the_document_has_its_form(tmp_path: Path) -> None:
    report(at_least={"ours_vs_theirs": 2}).write(tmp_path / "b.json")
    document = json.loads((tmp_path / "b.json").read_text())
    assert document["bench"] == "b"
    assert document["rounds"] == ROUNDS
    assert document["results"] == {"ours": 200.0, "theirs": 40.0}
    assert document["ratios"] == {"ours_vs_theirs": 5.0}
    assert document["machine"]["cores"] >= 1
    assert document["versions"]["celery"].startswith("5.7")


@pytest.mark.parametrize(
    ("targets", "verdict"),
    [
        ({"at_least": {"ours_vs_theirs": 5}}, "at least 5: reached"),
        ({"at_least": {"ours_vs_theirs": 6}}, "at least 6: below target"),
        ({"at_most": {"theirs": 40}}, "at most 40: reached"),
        ({"at_most": {"theirs": 39}}, "at most 39: above target"),
    ],
)
def test_the_table_says_whether_a_target_is_reached(targets: dict[str, object], verdict: str) -> None:
    assert verdict in report(**targets).table()


def test_rounds_are_at_least_three_when_time_is_over() -> None:
    assert play(lambda number: {"n": float(number)}, wanted=9, seconds=0.0) == [{"n": float(n)} for n in range(FEWEST)]


def test_rounds_are_all_that_were_wanted_when_there_is_time() -> None:
    assert len(play(lambda number: {}, wanted=5, seconds=60.0)) == 5


def test_each_round_begins_with_another_side() -> None:
    order: list[str] = []

    def side(name: str) -> Round:
        order.append(name)
        return {name: 1.0}

    sides = [lambda: side("a"), lambda: side("b"), lambda: side("c")]
    assert in_turn(sides, 1) == {"a": 1.0, "b": 1.0, "c": 1.0}
    assert order == ["b", "c", "a"]


def test_ratios_over_all_rounds_stand_beside_those_of_rounds() -> None:
    found = report(over_rounds={"memory_flat": 0.99})
    assert found.ratios == {"ours_vs_theirs": 5.0, "memory_flat": 0.99}
    assert "memory_flat" in found.table()


def test_many_rounds_are_shown_by_their_median_alone() -> None:
    many: list[Round] = [{"ours": 100.0, "theirs": 10.0}] * 60
    assert "round 1" not in report(rounds=many).table()
    assert "round 3" in report().table()


def test_99_of_100_answers_came_within_the_99th_percentile() -> None:
    asked = Asked(seconds=[float(number) for number in range(1, 101)])
    assert [asked.at(share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert Asked(seconds=[7.0]).at(0.99) == 7.0


def test_a_ratio_above_what_it_may_be_is_said() -> None:
    found = Report("x", [{"a": 1.0}], ["a"], "seconds", over_rounds={"a_vs_b": 2.0}, at_most={"a_vs_b": 1.5, "a": 3})
    lines = {line.split()[0]: line for line in found.table().splitlines() if line}
    assert lines["a_vs_b"].endswith("at most 1.5: above target")
    assert lines["a"].endswith("at most 3: reached")
