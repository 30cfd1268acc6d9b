"""Which rows a window is the sum of."""

from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman_service.store.metrics.reach import (
    DAY,
    EVER,
    HOUR,
    MINUTE,
    NEVER,
    Kept,
    Reach,
    Span,
    ceil,
    everything,
    floor,
    reach,
    stepped,
)

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
_MINUTES = st.integers(min_value=-60 * 24 * 60, max_value=60)
_MOMENTS = st.builds(
    lambda minutes, seconds: NOON + timedelta(minutes=minutes, seconds=seconds), _MINUTES, st.integers(0, 59)
)
_DAYS = st.integers(min_value=0, max_value=70).map(lambda days: floor(NOON, DAY) - days * DAY)


@st.composite
def _kept(draw: st.DrawFn) -> Kept:
    days, hours, minutes = sorted(draw(st.tuples(_DAYS, _DAYS, _DAYS)))
    later = _DAYS.filter(lambda day: day >= minutes)
    carried = draw(st.one_of(st.just(EVER), st.none(), later))
    return Kept(minutes, hours, days, carried)


def spans(found: Reach) -> list[tuple[timedelta, Span]]:
    """In the order of time, with what a row of each is long; without those that are empty."""
    units = (DAY, MINUTE, HOUR, DAY, HOUR, MINUTE)
    return [(unit, Span(*span)) for unit, span in zip(units, astuple(found)[3:], strict=True) if span[0] < span[1]]


def is_whole(found: Reach) -> bool:
    """Whether the spans are the window, each moment once, and begin and end where their rows do."""
    parts = [span for _, span in spans(found)]
    if not parts:
        return found.begins == found.ends
    meet = all(a.before == b.since for a, b in pairwise(parts))
    aligned = all(floor(moment, unit) == moment for unit, span in spans(found) for moment in span)
    return meet and aligned and (parts[0].since, parts[-1].before) == (found.begins, found.ends)


@settings(max_examples=100, deadline=None)
@given(begins=_MOMENTS, seconds=st.integers(0, 70 * 86_400), open_end=st.booleans(), kept=_kept())
def test_every_moment_of_a_window_is_read_once(begins: datetime, seconds: int, open_end: bool, kept: Kept) -> None:
    ends = NEVER if open_end else begins + timedelta(seconds=seconds)
    found = reach(begins, ends, kept)
    assert is_whole(found), found
    assert found.begins <= max(begins, kept.days_since)
    assert found.ends >= ends
    assert max(begins, kept.days_since) - found.begins < found.unit
    if not open_end and ends >= kept.days_since:
        assert found.ends - ends < found.unit
    if begins >= kept.minutes_since:
        assert found.unit == MINUTE
    if kept.is_carried:
        rows = sum(min((span.before - span.since) / unit, 100) for unit, span in spans(found) if unit < DAY)
        assert rows <= 2 * (59 + 23), "what is read does not depend on how long the window is"
    for unit, span in spans(found):
        since = {MINUTE: kept.minutes_since, HOUR: kept.hours_since, DAY: kept.days_since}[unit]
        assert span.since >= since, "nothing is read that is not kept"


@settings(max_examples=60, deadline=None)
@given(
    begins=_MOMENTS,
    seconds=st.integers(0, 70 * 86_400),
    minutes=st.sampled_from([1, 5, 30, 60, 360, 1440]),
    kept=_kept(),
)
def test_every_moment_of_its_steps_is_read_once(begins: datetime, seconds: int, minutes: int, kept: Kept) -> None:
    wanted = timedelta(minutes=minutes)
    found, step = stepped(begins, begins + timedelta(seconds=seconds), wanted, kept)
    assert is_whole(found), found
    assert floor(found.begins, step) == found.begins
    assert ceil(found.ends, step) == found.ends
    assert step >= wanted
    for unit, span in spans(found):
        assert unit <= step
        assert span.since >= {MINUTE: kept.minutes_since, HOUR: kept.hours_since, DAY: EVER}[unit]
    if begins >= kept.minutes_since:
        assert step == wanted


@given(kept=_kept())
def test_everything_is_read_by_days_but_for_what_has_only_minutes(kept: Kept) -> None:
    found = everything(kept)
    assert is_whole(found)
    if kept.is_carried:
        assert spans(found) == [(DAY, Span(EVER, NEVER))]


def test_a_window_until_now_reads_no_minute_of_its_last_hour() -> None:
    found = reach(NOON.replace(hour=13, minute=37) - DAY, NEVER, Kept())
    assert spans(found) == [
        (MINUTE, Span(datetime(2026, 11, 27, 13, 37, tzinfo=UTC), datetime(2026, 11, 27, 14, tzinfo=UTC))),
        (HOUR, Span(datetime(2026, 11, 27, 14, tzinfo=UTC), datetime(2026, 11, 28, tzinfo=UTC))),
        (DAY, Span(datetime(2026, 11, 28, tzinfo=UTC), NEVER)),
    ]


@pytest.mark.parametrize(
    ("age", "resolution", "begins"),
    [
        (timedelta(days=9), "minute", datetime(2026, 11, 19, 12, 0, tzinfo=UTC)),
        (timedelta(days=10, minutes=20 * 60 + 7), "hour", datetime(2026, 11, 17, 15, tzinfo=UTC)),
        (timedelta(days=30), "day", datetime(2026, 10, 29, tzinfo=UTC)),
        (timedelta(days=60), "day", datetime(2026, 10, 19, tzinfo=UTC)),
    ],
)
def test_an_answer_says_how_finely_and_from_when_it_is(age: timedelta, resolution: str, begins: datetime) -> None:
    day = floor(NOON, DAY)
    kept = Kept(minutes_since=day - 10 * DAY, hours_since=day - 20 * DAY, days_since=day - 40 * DAY)
    found = reach(NOON - age, NEVER, kept)
    assert (found.resolution, found.begins) == (resolution, begins)


@pytest.mark.parametrize(
    ("step", "resolution"), [(MINUTE, "minute"), (30 * MINUTE, "minute"), (6 * HOUR, "hour"), (DAY, "day")]
)
def test_steps_are_cut_as_finely_as_the_rows_that_they_are_sums_of(step: timedelta, resolution: str) -> None:
    found, _ = stepped(NOON - 30 * DAY, NOON, step, Kept())
    assert found.resolution == resolution
