import pytest

from pointsman.shipped.reports.words import count, escape, percent, seconds, short


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (None, "\u2013"), (0, "0.0 ms"), (0.00042, "0.4 ms"), (0.0124, "12 ms"), (0.9994, "999 ms"), (0.9996, "1.0 s"),
        (1, "1 s"), (1.25, "1.2 s"), (9.96, "10 s"), (59.9, "60 s"), (59.96, "1 min"), (60, "1 min"),
        (200, "3 min 20 s"), (3599.9, "1 h"), (7500, "2 h 5 min"),
    ],
)  # fmt: skip
def test_durations_are_said_in_the_unit_people_use(duration: float | None, words: str) -> None:
    assert seconds(duration) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (None, "\u2013"), (0, "0 %"), (1, "100 %"), (0.99999, "99.9 %"), (0.00001, "0.1 %"), (0.29, "29.0 %"),
        (0.9567, "95.6 %"),
    ],
)  # fmt: skip
def test_share_is_never_rounded_to_all_or_nothing(share: float | None, words: str) -> None:
    assert percent(share) == words


def test_counts_have_separators() -> None:
    assert (count(1234567), count(None), short(999_999), short(1_234_567)) == (
        "1,234,567", "\u2013", "999,999", "1.23 M",
    )  # fmt: skip


def test_text_cannot_become_markup() -> None:
    assert escape("<b a='1'>&\"") == "&lt;b a=&#x27;1&#x27;&gt;&amp;&quot;"
