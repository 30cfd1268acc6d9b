import re
from datetime import date, timedelta
from xml.etree import ElementTree

import pytest

from pointsman.shipped.reports.charts import Calendar, Stack, calendar, columns, grade, share_bar, waits


def parse(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup)  # of our own making


def styles(markup: str, style: str) -> list[ElementTree.Element]:
    return [one for one in parse(markup).iter() if style in one.get("class", "").split()]


def ticks(highest: int) -> list[str]:
    chart = columns(["a"], [Stack("all", "good", [highest])], "chart")
    return re.findall(r'<text class="y"[^>]*>([^<]+)', chart)


@pytest.mark.parametrize(
    ("highest", "shown"),
    [
        (0, ["0", "1"]),
        (1, ["0", "1"]),
        (3, ["0", "1", "2", "3"]),
        (7, ["0", "2", "4", "6", "8"]),
        (99, ["0", "25", "50", "75", "100"]),
        (9700, ["0", "2,500", "5,000", "7,500", "10,000"]),
    ],
)
def test_axis_shows_few_round_whole_numbers(highest: int, shown: list[str]) -> None:
    assert ticks(highest) == shown


def test_columns_are_as_high_as_their_counts() -> None:
    chart = columns(["a", "b"], [Stack("good ones", "good", [50, 100]), Stack("bad ones", "bad", [50, 0])], "chart")
    low, high = (float(one.get("height", "")) for one in styles(chart, "good"))
    (bad,) = styles(chart, "bad")
    assert high == pytest.approx(2 * low, abs=0.1)
    assert float(bad.get("height", "")) == pytest.approx(low, abs=0.1)
    assert bad.findtext("title") == "a: 50 bad ones"


def test_one_failure_among_many_can_be_seen() -> None:
    chart = columns(["a"], [Stack("good", "good", [1_000_000]), Stack("bad", "bad", [1])], "chart")
    assert float(styles(chart, "bad")[0].get("height", "")) > 1


def test_unknown_column_is_hatched_unless_it_is_ahead() -> None:
    chart = columns(["a", "b"], [Stack("x", "good", [None, None])], "chart", ahead=[False, True])
    (unknown,) = styles(chart, "unknown")
    assert unknown.findtext("title") == "a: no figures"


def test_line_has_a_gap_where_nothing_is_known() -> None:
    chart = waits(["a", "b", "c", "d", "e"], [1.0, 2.0, None, 1.0, 9.0], 5.0, "chart")
    assert len(styles(chart, "line")) == 2
    assert [len(styles(chart, style)) for style in ("dot", "over")] == [4, 1]


def test_labels_cannot_become_markup() -> None:
    chart = columns(["<b>"], [Stack("<i>", "good", [1])], "<u>")
    assert "<b>" not in chart
    assert parse(chart)[0].get("aria-label") == "<u>"


def test_calendar_has_a_square_a_day_in_shades() -> None:
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]
    counts = {days[0]: 0, days[1]: 1, days[2]: 50, days[3]: 100}
    drawn = calendar(Calendar(counts, today=days[9]), days, "calendar")
    assert len(styles(drawn, "day")) == 365
    shades = {name: len(styles(drawn, name)) for name in ("l1", "l2", "l3", "l4", "none", "ahead")}
    assert shades == {"l1": 2, "l2": 1, "l3": 0, "l4": 1, "none": 6, "ahead": 355}


def test_share_is_graded() -> None:
    assert [grade(share) for share in (1, 0.99, 0.9899, 0.95, 0.9499, 0)] == [
        "good", "good", "fair", "fair", "bad", "bad",
    ]  # fmt: skip
    assert share_bar(None, "SLA") == ""
    assert styles(share_bar(0.5, "SLA"), "bad")[0].get("width") == "55.0"
