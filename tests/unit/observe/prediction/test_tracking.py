"""Bounds that follow what comes."""

import random

from pointsman_service.observe.prediction.tracking import LEAST, Tracker


def _shares(tracker: Tracker, values: list[float], start: int = 0) -> tuple[float, float]:
    """How many of the values fall within the bounds that were said before each."""
    below = within = 0
    said = 0
    for number, value in enumerate(values):
        bounds = tracker.bounds()
        middle, upper = bounds or (1.0, 10.0)
        if bounds is not None:
            said += 1
            below += value <= middle
            within += value <= upper
        tracker.learn(value, middle, upper, float(start + number), 0.0)
    return below / said, within / said


def test_as_many_fall_within_as_are_promised() -> None:
    chance = random.Random(1)
    below, within = _shares(Tracker(), [chance.expovariate(1.0) for _ in range(3000)])
    assert 0.47 <= below <= 0.53
    assert 0.93 <= within <= 0.98


def test_a_drift_is_followed() -> None:
    chance = random.Random(2)
    below, within = _shares(Tracker(), [(1 + number / 300) * chance.expovariate(1.0) for number in range(3000)])
    assert 0.4 <= below <= 0.6
    assert 0.92 <= within <= 0.98


def test_another_world_makes_it_forget_the_one_before() -> None:
    tracker, chance = Tracker(), random.Random(3)
    _shares(tracker, [chance.uniform(0.9, 1.1) for _ in range(200)])
    _shares(tracker, [chance.uniform(9, 11) for _ in range(20)], start=200)
    bounds = tracker.bounds()
    assert bounds is not None
    assert bounds[0] > 8
    assert len(tracker) < 30


def test_too_few_values_say_nothing() -> None:
    tracker = Tracker()
    for number in range(LEAST - 1):
        tracker.learn(1.0, 1.0, 1.0, float(number), 0.0)
    assert tracker.bounds() is None


def test_values_that_come_together_count_as_few() -> None:
    tracker = Tracker()
    for number in range(100):
        tracker.learn(1.0, 2.0, 2.0, number / 100, apart=60.0)
    assert len(tracker) == LEAST


def test_the_upper_bound_is_never_below_the_middle() -> None:
    tracker, chance = Tracker(), random.Random(4)
    for number in range(500):
        bounds = tracker.bounds() or (1.0, 1.0)
        assert bounds[0] <= bounds[1]
        tracker.learn(chance.lognormvariate(0, 2), *bounds, float(number), 0.0)
