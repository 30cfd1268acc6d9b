"""JSON that somebody types is read as a body of the API is."""

import re

import pytest

from pointsman_service.dashboard.components.json_given import json_given


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1, "a": 2}', 'gives the name "a" more than once'),
        ('{"b": [{"a": 1, "a": 2}]}', 'at b/0: gives the name "a" more than once'),
        ("[1e400]", "at 0: is not a finite number"),
        ('["\\u0000"]', "at 0: contains a NUL character"),
        ("[[[[1]]]]", "is nested deeper than 3 levels"),
        ("[" * 10_000, "is nested deeper than 3 levels"),
        ("{,}", "this is no JSON: "),
        ("NaN", "this is no JSON: "),
        ('["\\ud800"]', "this is no JSON: "),
        ("9" * 5000, "this is no JSON: "),
        ("", "this is no JSON: "),
    ],
)
def test_what_the_api_refuses_is_refused_with_where_it_is(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(told)}"):
        json_given(text, 3)


def test_what_it_takes_is_taken_exactly() -> None:
    text = ' {"a": [90071992547409931, 0.1, "\\u00e4\U0001f9e8"]} '
    assert json_given(text, 2) == {"a": [90071992547409931, 0.1, "ä\U0001f9e8"]}
