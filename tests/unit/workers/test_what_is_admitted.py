"""What the API admits by the schema that a worker publishes is what the worker can build."""

import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal, NotRequired

import pytest
from pydantic import (
    UUID4,
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    BaseModel,
    HttpUrl,
    IPvAnyAddress,
    Json,
    NaiveDatetime,
    PostgresDsn,
    StrictInt,
)
from typing_extensions import TypedDict

from pointsman.errors import ArgumentsNotValid
from pointsman.parent.catalogue import specify
from pointsman.task_type.arguments import arguments_of
from pointsman.task_type.retrying import rules_of
from pointsman.testing import run
from pointsman_service.admit.catalogue import KnownTaskType
from pointsman_service.errors import InvalidArguments
from tests.unit.workers.conftest import MakeTask


class Order(BaseModel):
    when: datetime
    copies: int = 1


class Line(TypedDict):
    copies: int
    on: NotRequired[date]


class Node(TypedDict):
    value: int
    children: "list[Node]"


KEY = "229cdb54-1248-45c0-95ab-be83bf4333eb"
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BUILT: list[tuple[Any, Any, Any]] = [
    (datetime, "2026-01-02T03:04:05Z", AT),
    (datetime, "2026-01-02 03:04:05+00:00", AT),
    (datetime, "2026-01-02T03:04:05", AT.replace(tzinfo=None)),
    (AwareDatetime, "2026-01-02T05:04:05+02:00", AT),
    (NaiveDatetime, "2026-01-02T03:04:05", AT.replace(tzinfo=None)),
    (date, "2026-01-02", date(2026, 1, 2)),
    (time, "03:04", time(3, 4)),
    (timedelta, "PT0.5S", timedelta(seconds=0.5)),
    (timedelta, "P1DT1H", timedelta(days=1, hours=1)),
    (uuid.UUID, KEY, uuid.UUID(KEY)),
    (Decimal, "12.50", Decimal("12.50")),
    (Decimal, 12, Decimal(12)),
    (IPv4Address, "127.0.0.1", IPv4Address("127.0.0.1")),
    (IPv4Network, "10.0.0.0/8", IPv4Network("10.0.0.0/8")),
    (AnyUrl, "ftp://a/ä", AnyUrl("ftp://a/ä")),
    (HttpUrl, "HTTPS://exämple.org", HttpUrl("HTTPS://exämple.org")),
    (Json, '{"a": 1}', {"a": 1}),
    (Base64Bytes, "AAE=", b"\x00\x01"),
    (list[datetime], ["2026-01-02T03:04:05Z"], [AT]),
    (dict[date, int], {"2026-01-02": 1}, {date(2026, 1, 2): 1}),
    (dict[int, str], {"7": "x"}, {7: "x"}),
    (Order, {"when": "2026-01-02T03:04:05Z", "copies": 2.0}, Order(when=AT, copies=2)),
    (Line, {"copies": 2.0, "on": "2026-01-02"}, {"copies": 2, "on": date(2026, 1, 2)}),
    # JSON has one kind of number.
    (int, 2.0, 2),
    (int | None, 2.0, 2),
    (list[int], [1.0, 2], [1, 2]),
    (dict[str, list[int]], {"a": [1.0]}, {"a": [1]}),
    (Literal[1, "a"], 1.0, 1),
    (StrictInt, 2.0, 2),
    (Node, {"value": 1.0, "children": []}, {"value": 1, "children": []}),
    (float, 2.0, 2.0),
    (int | float, 2.0, 2.0),
    (Any, 2.0, 2.0),
    (bool | str, "a", "a"),
]
REFUSED: list[tuple[Any, Any]] = [
    (datetime, "yesterday"),
    (datetime, "2030"),
    (datetime, "20260102"),
    (datetime, "1e3"),
    (datetime, "-1.5"),
    (datetime, "2026-13-02T00:00:00Z"),
    (datetime, 2030),
    (AwareDatetime, "2026-01-02T03:04:05"),
    (NaiveDatetime, "2026-01-02T03:04:05Z"),
    (date, "2030"),
    (date, "2026-02-30"),
    (time, "25:00"),
    (time, "3600"),
    (timedelta, "a while"),
    (uuid.UUID, "no"),
    (UUID4, "01a20271-c811-71a5-99c0-510fde22a57d"),
    (Decimal, "a lot"),
    (IPv4Address, "999.1.1.1"),
    (IPvAnyAddress, "home"),
    (IPv4Network, "10.0.0.1/8"),
    (AnyUrl, "no url"),
    (HttpUrl, "ftp://a/b"),
    (HttpUrl, "httpx://a/b"),
    (PostgresDsn, "redis://a/b"),
    (Json, "{"),
    (Base64Bytes, "A"),
    (list[datetime], ["2026-01-02T03:04:05Z", "yesterday"]),
    (dict[date, int], {"today": 1}),
    (dict[int, str], {"x": "x"}),
    (Order, {"when": "yesterday"}),
    (Line, {"copies": 2, "on": "yesterday"}),
    (int, 2.5),
    (int, True),
    (Literal[1, "a"], 2.0),
]


def taking(hint: Any) -> Any:
    def body(self: Any, value: Any) -> Any:
        return value

    body.__annotations__["value"] = hint
    return body


def admitted(task: Any, *args: Any, **kwargs: Any) -> bool:
    try:
        KnownTaskType(specify(task, rules_of(task))).check(list(args), kwargs)
    except InvalidArguments:
        return False
    return True


@pytest.mark.parametrize(("hint", "given", "built"), BUILT)
def test_what_a_body_can_be_given_is_admitted_and_built(make: MakeTask, hint: Any, given: Any, built: Any) -> None:
    task = make(taking(hint))
    assert admitted(task, value=given)
    for args, kwargs in arguments_of(task).construct((), {"value": given}), arguments_of(task).construct((given,), {}):
        value = kwargs["value"] if kwargs else args[0]
        assert (value, type(value)) == (built, type(built))
        if isinstance(built, list):
            assert [type(one) for one in value] == [type(one) for one in built]


@pytest.mark.parametrize(("hint", "given"), REFUSED)
def test_what_a_body_cannot_be_given_is_refused_before_it_is_stored(make: MakeTask, hint: Any, given: Any) -> None:
    task = make(taking(hint))
    assert not admitted(task, value=given)
    assert not admitted(task, given)
    with pytest.raises(ArgumentsNotValid):
        run(task, given)


AWKWARD: list[Any] = [
    "", " ", "0", "-0", "1_000", "١٢٣", "0x10", "1e400", "NaN", "Infinity", "a" * 32, "{" + KEY + "}",
    "urn:uuid:" + KEY,
    "2026-01-02T24:00:00Z", "2026-01-02T03:04:60Z", "2026-01-02T03:04:05.123456789Z", "2026-01-02t03:04z", "0000-00-00",
    "9999-12-31T23:59:59-23:59", "2026-01-02T03:04+02", "2026-W01", "P1Y", "P1W", "-P1D", "1 day, 00:00:01", "0:01:00",
    "//a", "http:/a", "http://a b", "javascript:alert(1)", "file:///x", "http://[::1", "::1", "fe80::1%eth0",
    "AA=", "AA==\n", "\x00", "😀", "[" * 300, 0, -1, 2.0, 1e300, 10**30, True, None, [], {}, [2.0], {"a": 1.0},
    {"1": 1},
]  # fmt: skip
HINTS = dict.fromkeys([hint for hint, _, _ in BUILT] + [hint for hint, _ in REFUSED])


@pytest.mark.parametrize("hint", HINTS)
def test_nothing_is_admitted_that_cannot_be_built(make: MakeTask, hint: Any) -> None:
    task = make(taking(hint))
    for value in AWKWARD:
        if admitted(task, value=value):
            arguments_of(task).construct((), {"value": value})
