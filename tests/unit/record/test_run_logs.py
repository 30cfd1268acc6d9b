"""Entries of lines as the recorder understands them: what no worker sends is an error of its own."""

import json
from typing import Any
from uuid import uuid4

import pytest

from pointsman_service.record.run_logs import UnreadableLines, parse

TASK = str(uuid4())
TEXT = json.dumps([[1_700_000_000.5, "info", "tests", "text"], [1, "info", "tests", ""]])
FIELDS = {"task": TASK, "attempt": "1", "run": "a1", "first": "7", "count": "2", "last": "0", "lines": TEXT}


def entry(**given: Any) -> list[Any]:
    fields = {name: value for name, value in (FIELDS | given).items() if value is not None}
    words = [word if isinstance(word, bytes) else str(word).encode() for pair in fields.items() for word in pair]
    return [b"1-0", words]


def test_entry_is_what_a_worker_sent() -> None:
    assert parse(entry()) == (TASK, 1, "a1", 7, 2, False, TEXT)
    assert parse(entry(last=1, count=0, lines="[]"))[4:] == (0, True, "[]")


@pytest.mark.parametrize(
    "given",
    [
        *({name: None} for name in FIELDS),
        {"task": "1"},
        {"task": TASK.upper()},
        {"attempt": 0},
        {"attempt": "one"},
        {"attempt": 40_000},
        {"run": "../x"},
        {"run": "x" * 100},
        {"run": ""},
        {"first": 0},
        {"first": 2**31},
        {"first": -1},
        {"first": "9" * 100},
        {"last": 2},
        {"count": 1},
        {"count": 99_999},
        {"lines": "[["},
        {"lines": '{"a": 1}'},
        {"lines": '[[1.0, "info", "tests"], []]'},
        {"count": 1, "lines": '[["now", "info", "tests", "text"]]'},
        {"count": 1, "lines": '[[1e300, "info", "tests", "text"]]'},
        {"count": 1, "lines": '[[NaN, "info", "tests", "text"]]'},
        {"count": 1, "lines": '[[1.0, "info", "tests", "\\ud800"]]'},
        {"count": 1, "lines": '[[1.0, "' + "x" * 100 + '", "tests", "text"]]'},
        {"lines": "[" * 5000},
        {"lines": b"\xff"},
        {"run": b"\xff"},
    ],
)
def test_what_no_worker_sends_is_unreadable(given: dict[str, Any]) -> None:
    with pytest.raises(UnreadableLines) as raised:
        parse(entry(**given))
    assert "text" not in str(raised.value).replace("the lines", "")


def test_entry_that_is_none_is_unreadable() -> None:
    for words in ([], [b"task"], None, [b"task", b"x", b"task", b"y"]):
        with pytest.raises(UnreadableLines):
            parse([b"1-0", words])
