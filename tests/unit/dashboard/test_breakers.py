"""What the page of breakers draws and says, without a server."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.dashboard.breakers.policy import _texts, _values
from pointsman_service.dashboard.breakers.strip import HEIGHT, WIDTH, strip_of
from pointsman_service.observe.breaker_reader import spells_of
from pointsman_service.observe.breakers import Turn

NOW = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)


def turn(ago: float, before: str, after: str) -> Turn:
    at = NOW - timedelta(seconds=ago)
    return Turn(int(-ago), "dependency", "smtp", at, 1, before, after, "", "breaker", None)


TURNS = [turn(600, "closed", "open"), turn(540, "open", "half_open"), turn(530, "half_open", "closed")]


def test_spells_follow_one_another_from_the_begin_of_the_window_up_to_now() -> None:
    spells = spells_of(TURNS, "closed", NOW, 3600, 200)
    assert [spell.state for spell in spells] == ["closed", "open", "half_open", "closed"]
    assert spells[-1].until - spells[0].since == timedelta(hours=1)
    assert timedelta(0) < spells[-1].until - NOW <= timedelta(seconds=3600 / 240)
    assert all(one.until == following.since for one, following in pairwise(spells))


def test_without_a_turn_it_was_what_it_is() -> None:
    (spell,) = spells_of([], "forced_open", NOW, 60, 200)
    assert spell.state == "forced_open"
    assert strip_of([spell]).says == "forced open all the time"


def test_nothing_differs_from_one_look_to_the_next_while_nothing_happens() -> None:
    later = NOW + timedelta(seconds=300)
    assert spells_of(TURNS, "closed", NOW, 86_400, 200) == spells_of(TURNS, "closed", later, 86_400, 200)


def test_before_the_first_of_very_many_turns_nothing_is_known() -> None:
    assert next(spell.state for spell in spells_of(TURNS, "closed", NOW, 3600, 3)) is None


def test_a_strip_is_as_wide_as_its_window_and_says_what_it_draws() -> None:
    strip = strip_of(spells_of(TURNS, "closed", NOW, 86_400, 200))
    assert strip.says == "closed for 23 h 44 min, open for 1 min, half open for 10 s; closed since 08:21:10 UTC"
    assert all(piece.x >= 0 and piece.x + piece.width <= WIDTH + 0.01 for piece in strip.pieces)
    assert all(piece.y + piece.height == HEIGHT for piece in strip.pieces)
    opened = [piece for piece in strip.pieces if piece.tone == "bad"]
    assert len(opened) == 1
    assert opened[0].width >= 1.5
    assert opened[0].height == HEIGHT


@pytest.mark.parametrize(
    "policy",
    [
        BreakerPolicy(),
        BreakerPolicy(failure_threshold=None, window_seconds=60, failure_rate=0.25, recovery_timeout=0.5),
        BreakerPolicy(expected_exception=("ConnectionError", "a.b.C"), ignored_exceptions=("ValueError",)),
        BreakerPolicy(window_seconds=86_400, slow_call_seconds=1.23456, slow_call_rate=1, release_per_second=1_000_000),
    ],
)
def test_a_policy_comes_back_from_its_form_as_it_was(policy: BreakerPolicy) -> None:
    assert BreakerPolicy.model_validate(_values(_texts(policy))) == policy
