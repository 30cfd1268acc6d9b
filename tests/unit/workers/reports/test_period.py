from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest

from pointsman.shipped.reports.period import Kind, Period

NOW = datetime(2026, 3, 1, 10, 34, 56, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "start", "end", "slug", "steps"),
    [
        ("hour", "2026-03-01T09:00", "2026-03-01T10:00", "2026-03-01T09", 12),
        ("day", "2026-02-28", "2026-03-01", "2026-02-28", 24),
        ("week", "2026-02-16", "2026-02-23", "2026-W08", 28),
        ("month", "2026-02-01", "2026-03-01", "2026-02", 28),
    ],
)
def test_last_period_is_the_one_that_has_ended(kind: Kind, start: str, end: str, slug: str, steps: int) -> None:
    period = Period.last(kind, NOW)
    assert (period.start, period.end, period.slug) == (at(start), at(end), slug)
    parts = period.steps
    assert len(parts) == steps
    assert (parts[0][0], parts[-1][1]) == (period.start, period.end)
    assert all(one[1] == other[0] for one, other in pairwise(parts))


@pytest.mark.parametrize(
    ("kind", "start", "slug", "steps"),
    [
        ("hour", "2026-03-01T10:00", "2026-03-01T10-so-far", 7),
        ("day", "2026-03-01", "2026-03-01-so-far", 11),
        ("week", "2026-02-23", "2026-W09-so-far", 26),
        ("month", "2026-03-01", "2026-03-so-far", 1),
    ],
)
def test_period_so_far_ends_with_this_minute(kind: Kind, start: str, slug: str, steps: int) -> None:
    period = Period.so_far(kind, NOW)
    assert (period.start, period.end, period.slug) == (at(start), at("2026-03-01T10:35"), slug)
    assert len(period.steps) == steps
    assert period.steps[-1][1] == period.end
    assert "until 10:35" in period.title


def test_moment_on_the_border_ends_the_period_before_it() -> None:
    assert Period.last("day", at("2026-03-01")).start == at("2026-02-28")
    assert Period.so_far("hour", at("2026-03-01T10:00")).steps == [(at("2026-03-01T10:00"), at("2026-03-01T10:01"))]


def test_days_are_those_of_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert Period.last("day", datetime(2026, 3, 1, 8, tzinfo=tokyo)).slug == "2026-02-27"


def test_first_week_of_a_year_is_named_by_its_iso_year() -> None:
    assert Period.last("week", at("2027-01-05")).slug == "2026-W53"
    assert Period.last("week", at("2027-01-05")).title == "Week 53 of 2026, 28 December to 3 January 2027"
