"""What a body may return, through plain Celery and its result backend, and through a managed run."""

import json
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import Celery
from celery.app.trace import build_tracer
from celery.result import AsyncResult
from kombu.utils.json import register_type
from pydantic import BaseModel

from pointsman.testing import run, run_attempt
from tests.unit.workers.conftest import MakeTask


class Level(IntEnum):
    LOW = 1


class Colour(StrEnum):
    RED = "red"


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return self.cents


class Tagged:
    def __json__(self) -> dict[str, str]:
        return {"tag": "t"}


register_type(Money, "test-money", lambda money: money.cents, Money)
Pair = namedtuple("Pair", "left right")

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = UUID("01a20271-c811-71a5-99c0-510fde22a57d")
TYPES = {
    "an aware datetime": (AT, "2026-01-02T03:04:05+00:00"),
    "a naive datetime": (datetime(2026, 1, 2, 3, 4, 5, 6), "2026-01-02T03:04:05.000006"),  # noqa: DTZ001 - the case
    "another offset": (AT.astimezone(timezone(timedelta(hours=2))), "2026-01-02T05:04:05+02:00"),
    "a date": (date(2026, 1, 2), "2026-01-02"),
    "a time": (time(3, 4), "03:04:00"),
    "a Decimal": (Decimal("10.50"), "10.50"),
    "a UUID": (KEY, str(KEY)),
    "bytes of text": ("grün".encode(), "grün"),
    "other bytes": (b"\xff\x00", {"__type__": "base64", "__value__": "/wA="}),
    "an IntEnum": (Level.LOW, 1),
    "a StrEnum": (Colour.RED, "red"),
    "a named tuple": (Pair(1, AT), [1, "2026-01-02T03:04:05+00:00"]),
    "an ordered dict": (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    "with __json__": (Tagged(), {"tag": "t"}),
    "a registered type": (Money(990), {"__type__": "test-money", "__value__": 990}),
    "within others": ({"rows": [{"at": AT, "sum": Decimal("1.0")}]}, {"rows": [{"at": AT.isoformat(), "sum": "1.0"}]}),
    "a call's result": (AsyncResult("an-id"), [["an-id", None], None]),
}
REFUSED = {
    "a set": {1},
    "a timedelta": timedelta(1),
    "a bytearray": bytearray(b"x"),
    "an object": object(),
    "keys that are dates": {date(2026, 1, 2): 1},
}


def returning(value: Any) -> Any:
    def body(self: Any = None) -> Any:
        return value

    return body


def plain(value: Any) -> Any:
    """The state and the result of a plain run, as a caller finds them in the result backend."""
    app = Celery("plain", broker="memory://", backend="cache+memory://", set_as_current=False)
    decorate: Any = app.task
    decorate(name="plain.returns", shared=False)(returning(value))
    app.finalize()
    task: Any = app.tasks["plain.returns"]
    identity = str(uuid4())
    trace: Any = build_tracer(task.name, task, app=app, propagate=False)
    trace(identity, (), {}, {"id": identity, "args": (), "kwargs": {}, "delivery_info": {}, "is_eager": False})
    found = task.AsyncResult(identity)
    return found.state, found.result


@pytest.mark.parametrize("name", TYPES)
def test_what_plain_celery_returns_a_managed_run_returns(make: MakeTask, name: str) -> None:
    value, written = TYPES[name]
    assert plain(value)[0] == "SUCCESS"
    ran = run(make(returning(value)))
    assert (ran.state, ran.result) == ("succeeded", written), ran.error


@pytest.mark.parametrize("name", REFUSED)
def test_what_plain_celery_cannot_return_fails_here_too(make: MakeTask, name: str) -> None:
    assert plain(REFUSED[name])[0] == "FAILURE"
    ran = run(make(returning(REFUSED[name])))
    assert ran.state == "failed"
    assert ran.error is not None
    assert ran.error["type"] == "ResultNotJSON"


@pytest.mark.parametrize("name", [name for name in TYPES if name != "a call's result"])
def test_a_step_and_progress_take_what_a_result_may_be(make: MakeTask, name: str) -> None:
    value, written = TYPES[name]

    def body(self: Any) -> Any:
        self.update_state(state="HALF", meta={"value": value})
        with self.once("step") as step:
            if step:
                step.result = value
        return step.result

    task, steps = make(body), dict[str, Any]()
    first = run_attempt(task, once=steps)
    assert first.state == "succeeded"
    assert [one["meta"] for one in first.progress] == [{"value": written}]
    assert run_attempt(task, attempt=2, once=steps).result == written


def test_a_model_with_bytes_that_are_no_text_is_returned(make: MakeTask) -> None:
    class Digest(BaseModel):
        at: datetime
        value: bytes

    ran = run(make(returning([Digest(at=AT, value=b"\xff")])))
    assert ran.result == [{"at": AT.isoformat(), "value": {"__type__": "base64", "__value__": "/w=="}}]


def test_a_deep_result_is_returned(make: MakeTask) -> None:
    deep = json.loads("[" * 500 + "]" * 500)
    assert plain(deep) == ("SUCCESS", deep)
    assert run(make(returning(deep))).result == deep
