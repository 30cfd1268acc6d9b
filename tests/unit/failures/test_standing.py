"""When a group that occurs again is open again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pointsman_service.failures.standing import GroupState, Standing, opens_again

SET_AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
LATER = SET_AT + timedelta(minutes=5)
RESOLVED = Standing(GroupState.RESOLVED, SET_AT)
IGNORED = Standing(GroupState.IGNORED, SET_AT)


def test_a_resolved_one_that_fails_again_is_open() -> None:
    assert opens_again(RESOLVED, LATER, 10, 1) == "it failed this way again"


def test_what_ended_before_it_was_resolved_is_no_return() -> None:
    assert opens_again(RESOLVED, SET_AT, 10, 1) is None


def test_an_open_one_stays_open() -> None:
    assert opens_again(Standing(GroupState.OPEN, SET_AT), LATER, 10, 10) is None
    assert opens_again(Standing(GroupState.OPEN, None), LATER, 10, 10) is None


def test_an_ignored_one_without_a_limit_stays_ignored() -> None:
    assert opens_again(IGNORED, LATER, 10**9, 10**6) is None


def test_an_ignored_one_is_open_past_its_moment() -> None:
    limited = replace(IGNORED, ignored_until=LATER)
    assert opens_again(limited, LATER, 10, 1) is None
    assert opens_again(limited, LATER + timedelta(seconds=1), 10, 1) is not None


def test_an_ignored_one_is_open_past_its_rate() -> None:
    limited = replace(IGNORED, ignored_per_hour=5)
    assert opens_again(limited, LATER, 10, 5) is None
    assert opens_again(limited, LATER, 10, 6) == "it failed this way 6 times within an hour, more than 5"


def test_an_ignored_one_is_open_past_its_number() -> None:
    limited = replace(IGNORED, ignored_count=5, ignored_from=10)
    assert opens_again(limited, LATER, 15, 15) is None
    assert opens_again(limited, LATER, 16, 16) == "it failed this way 6 times since it was ignored, more than 5"
