"""What the rule of task types promises, in the world of ``tests/simulation``."""

import random

import pytest

from pointsman_service.breaker.breaker import Breaker
from pointsman_service.breaker.of_task_type import TaskTypeBreaker
from tests.simulation.__main__ import burst, hundred_and_fifty, play, spread, ten_and_fifty
from tests.simulation.world import Story

SECONDS = 120.0
SEEDS = range(3)


def chance(seed: int) -> random.Random:
    return random.Random(seed)


@pytest.mark.parametrize(("share", "most"), [(0.01, 1.2), (0.1, 1.5), (0.5, 2.0)])
def test_bad_inputs_of_one_caller_do_not_delay_another(share: float, most: float) -> None:
    for seed in SEEDS:
        arrivals = spread(share, 20.0, SECONDS, chance(seed))
        well = Story("", tuple(one for one in arrivals if not one.is_bad), SECONDS)
        story = Story("", arrivals, SECONDS)
        assert play(story, TaskTypeBreaker(), seed).p99 <= most * play(well, TaskTypeBreaker(), seed).p99, seed


def test_many_bad_inputs_at_once_do_not_delay_another() -> None:
    for seed in SEEDS:
        told = play(Story("", burst(100, 10.0, SECONDS, chance(seed)), SECONDS), TaskTypeBreaker(), seed)
        # The last ones came just before the end.
        assert (told.late, told.ended > 0.99) == (0, True), seed


def test_ten_bad_inputs_hold_nobody_and_reach_their_end() -> None:
    story = Story("", ten_and_fifty(), SECONDS)
    told = play(story, TaskTypeBreaker(), 1)
    assert (told.late, told.ended) == (0, 1.0)
    before = play(story, Breaker(), 1)
    assert before.late == before.good, "they held everybody by the rule of before"


def test_bad_inputs_reach_their_end_also_when_nothing_good_is_left() -> None:
    told = play(Story("", hundred_and_fifty(), SECONDS), TaskTypeBreaker(), 1)
    assert told.ended == 1.0
    assert told.longest < 5.0


@pytest.mark.parametrize("rate", [1.0, 2.0, 5.0, 50.0])
def test_a_broken_deploy_is_held_soon_and_runs_again_soon(rate: float) -> None:
    for seed in SEEDS:
        arrivals = spread(0.0, rate, SECONDS, chance(seed))
        story = Story("", arrivals, SECONDS, (30.0, 60.0), is_mended_by_workers=True, run_seconds=0.02)
        told = play(story, TaskTypeBreaker(), seed)
        assert told.until_held is not None
        assert told.until_held <= 20, seed
        assert told.again_after is not None
        assert told.again_after <= 15.0 + 1 / rate, seed


def test_what_is_dead_is_called_as_seldom_as_before() -> None:
    arrivals = spread(0.0, 2.0, 400.0, chance(1))
    story = Story("", arrivals, 400.0, (30.0, 400.0))
    now, before = play(story, TaskTypeBreaker(), 1), play(story, Breaker(), 1)
    assert now.bad_calls <= before.bad_calls + 20
