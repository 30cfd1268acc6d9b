"""Text that a database can hold."""

import pytest

from pointsman_contract.clean_text import clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain", "plain"),
        ("a\0b", "a\ufffdb"),
        ("ü\0😀", "ü\ufffd😀"),
        ("\ud800", "\ufffd"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("😀", "😀"),
        ("\ud83d\ude00\0", "😀\ufffd"),
    ],
)
def test_text_that_databases_refuse_is_replaced(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
