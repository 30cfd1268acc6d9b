import json
from typing import Any

import pytest
from kombu.exceptions import DecodeError
from kombu.serialization import loads

from pointsman_contract.typed_values import can_be_read
from pointsman_service.admit.carrying import uncarried

KEY = {"hex": "01a20271c81171a599c0510fde22a57d"}
VALUES: list[Any] = [
    "2026-01-02", "2026-01-02T03:04:05+00:00", "03:04", "yesterday", "", "10.5", "NaN", "a", "YQ==", "?", "é", KEY,
    {"hex": "x"}, {"int": 1}, {"no": 1}, {}, 5, 5.5, True, None, [], ["1"], [0, [1], 2],
]  # fmt: skip
TYPES: list[Any] = ["bytes", "base64", "datetime", "date", "time", "decimal", "uuid", "foo", "", None, 1, [], {}]


@pytest.mark.parametrize("kind", TYPES)
def test_what_kombu_cannot_read_is_refused_and_nothing_else(kind: Any) -> None:
    for value in VALUES:
        given = {"__type__": kind, "__value__": value}
        try:
            loads(json.dumps([[given], {}]), "application/json", "utf-8")
        except DecodeError:
            readable = False
        else:
            readable = True
        assert can_be_read(given) is readable, given


def test_it_is_refused_where_it_stands() -> None:
    bad = {"__type__": "datetime", "__value__": "yesterday"}
    good = {"__type__": "datetime", "__value__": "2026-01-02"}
    faults = uncarried({"args": [good, {"a": [bad]}], "kwargs": {"__type__": "a name", "x": bad}})
    assert [fault["pointer"] for fault in faults] == ["/args/1/a/0", "/kwargs/x"]
