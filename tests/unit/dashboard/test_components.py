from datetime import UTC, datetime, timedelta

import pytest

from pointsman_contract.states import TaskState
from pointsman_service.dashboard.components.durations import about, duration
from pointsman_service.dashboard.components.figures import bytes_of, counted_rows, number, percent, rate, some, times
from pointsman_service.dashboard.components.moments import clock, exact, machine, relative
from pointsman_service.dashboard.components.payloads import payload
from pointsman_service.dashboard.components.sparklines import sparkline
from pointsman_service.dashboard.components.states import SHAPES, UNKNOWN, tone_of

NOW = datetime(2026, 11, 29, 8, 34, 12, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"), (0, "0 s"), (0.0004, "< 1 ms"), (0.0042, "4 ms"), (0.35, "350 ms"), (0.9994, "999 ms"),
        (0.9999, "1 s"), (1.24, "1.2 s"), (9.94, "9.9 s"), (9.96, "10 s"), (50.4, "50 s"), (59.6, "1 min"),
        (60, "1 min"), (250, "4 min 10 s"), (3600, "1 h"), (9000, "2 h 30 min"), (3605, "1 h"), (86_400, "1 d"),
        (273_600, "3 d 4 h"), (-5, "−5 s"),
    ],
)  # fmt: skip
def test_a_duration_is_in_the_unit_that_a_person_would_say(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (NOW, "now"), (NOW - timedelta(seconds=4.9), "4 s ago"), (NOW - timedelta(seconds=250), "4 min ago"),
        (NOW + timedelta(seconds=41), "in 41 s"), (NOW - timedelta(days=3, hours=5), "3 d ago"),
        (NOW + timedelta(days=90, seconds=-2), "in 90 d"), (NOW + timedelta(seconds=59.7), "in 1 min"),
    ],
)  # fmt: skip
def test_how_long_ago_something_was_is_its_largest_unit(at: datetime, said: str) -> None:
    assert relative(at, NOW) == said


def test_a_wait_is_told_as_finely_as_its_target() -> None:
    waits = (None, 0.0, 0.168, 6.2, 250.0, 1162.0)
    assert [about(seconds) for seconds in waits] == ["–", "< 1 s", "< 1 s", "6.2 s", "4 min 10 s", "19 min"]


def test_a_moment_has_its_day_unless_that_is_today() -> None:
    assert clock(NOW, NOW) == "08:34:12"
    assert clock(NOW - timedelta(days=1), NOW) == "28 Nov 08:34:12"
    assert clock(NOW - timedelta(days=400), NOW) == "2025-10-25 08:34:12"
    assert exact(NOW) == "2026-11-29 08:34:12.250 UTC"
    assert machine(NOW) == "2026-11-29T08:34:12.250Z"


def test_counts_say_when_they_are_capped() -> None:
    assert counted_rows(10_000) == "10,000"
    assert counted_rows(10_001) == "more than 10,000"
    assert (some(1, "task"), some(12_481, "task"), some(2, "entry", "entries")) == (
        "1 task", "12,481 tasks", "2 entries",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (None, "–"),
        (1.0, "100 %"),
        (0.99999, "99.99 %"),
        (1 - 1e-13, "99.99 %"),
        (0.9998, "99.98 %"),
        (0.961, "96.1 %"),
        (0.21, "21 %"),
        (0.002, "0.2 %"),
        (0.00001, "< 0.1 %"),
        (0.0, "0 %"),
    ],
)
def test_a_share_is_never_rounded_up_to_all_or_down_to_nothing(share: float | None, said: str) -> None:
    assert percent(share) == said


def test_numbers_and_sizes_are_short() -> None:
    assert [number(value) for value in (None, 12481.0, 0.256, 25.26)] == ["–", "12,481", "0.26", "25.3"]
    assert [rate(value) for value in (None, 0.0, 0.04, 2.0, 9.96, 1234.5)] == ["–", "0", "< 0.1", "2.0", "10", "1,234"]
    assert [times(value) for value in (None, 0.0, 0.004, 0.042, 1.0, 6.59, 25.0)] == [
        "–", "×0", "< ×0.01", "×0.04", "×1", "×6.6", "×25",
    ]  # fmt: skip
    assert [bytes_of(size) for size in (214, 3400, 12_000_000)] == ["214 B", "3.4 kB", "12 MB"]


def test_a_sparkline_says_what_it_draws_and_leaves_gaps() -> None:
    drawn = sparkline([0, 4, None, 2])
    assert drawn.path == "M0 16v-1h3v1zM4 16v-16h3v16zM12 16v-8h3v8z"
    assert drawn.says == "lowest 0, highest 4, last 2"
    assert sparkline([None]).says == "not known"


def test_json_is_shown_exact_and_whole() -> None:
    shown = payload({"id": 12345678901234567890, "text": "<b>ü</b>" * 20})
    assert "12345678901234567890" in shown.text
    assert "<b>ü</b>" in shown.text
    assert len(shown.peek) == 80


def test_every_state_of_a_task_has_a_shape() -> None:
    assert {str(state) for state in TaskState if tone_of(state) == UNKNOWN} == set()
    assert tone_of("never heard of") == UNKNOWN
    assert len(set(SHAPES.values())) == len(SHAPES)
