"""A body longer than a single submission may be: read as any other, and in steps that leave time to others."""

import asyncio
import itertools
import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman_service.api.bodies.body import parse_json, parse_long_json
from pointsman_service.api.bodies.room import Pace
from pointsman_service.api.bodies.sizes import MOST_VALUES, check_values, opened
from pointsman_service.errors import InvalidRequest, MalformedJson, PointsmanError

DEPTH = 34

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?+', re.DOTALL)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"tasks":[{"task_type":"echo","args":[1,2.5,null,true,"a:b"]}]}',
        b'{"a":',
        b'{"a":[NaN]}',
        b"{'a':1}",
        b"\xff",
        b'{"b":{"a":1,"a":2}}',
        b'{"a":1,"\\u0061":2}',
        rb'{"a":"\\u003a","b":"\u003A"}',
        b"[" * 35 + b"]" * 35,
        b"[" * 250 + b"]" * 250,
        b"[NaN," + b"[" * 900 + b"]" * 900 + b"]",
        b"[" + b",".join([b"{}"] * 250_000) + b"]",
        json.dumps(['"[{\\' * 200_000]).encode(),
    ],
)
async def test_a_long_body_is_read_and_refused_as_any_other_of_many(body: bytes) -> None:
    found: list[Any] = []
    try:
        found.append(parse_json(body, DEPTH, of_many=True))
    except PointsmanError as error:
        found.append((type(error), error.detail, error.errors))
    try:
        found.append(await parse_long_json(body, DEPTH, Pace()))
    except PointsmanError as error:
        found.append((type(error), error.detail, error.errors))
    assert found[0] == found[1]


@pytest.mark.parametrize("part", [b"1", b'"k":1', b"[1]", b'""'])
async def test_more_values_than_memory_is_given_for_are_refused_before_they_are_read(part: bytes) -> None:
    named = b":" in part
    times = MOST_VALUES // (2 if named or b"[" in part else 1)
    body = (b"{%b}" if named else b"[%b]") % b",".join([part] * (times + 1))
    with pytest.raises(InvalidRequest) as raised:
        await parse_long_json(body, DEPTH, Pace())
    assert raised.value.errors[0]["detail"].startswith("has more than ")


def test_marks_in_texts_are_no_values() -> None:
    check_values(json.dumps([',:[{\\"' * MOST_VALUES]).encode())


@given(st.lists(st.sampled_from([b'"', b"\\\\", b'\\"', b"\\u005b", b"[", b"{", b":", b",", b"a", b" "]), max_size=40))
def test_brackets_are_counted_as_by_reading_string_for_string(parts: list[bytes]) -> None:
    body = b"".join(parts)
    outside = _STRING.sub(b"", body)
    # Outside of a string a backslash is no JSON: the parser stops there.
    if b"\\" not in outside:
        assert opened(body) == outside.count(b"[") + outside.count(b"{")


async def test_others_have_the_event_loop_as_long_as_a_step_took() -> None:
    pace, steps = Pace(), list[tuple[float, float]]()

    def hold() -> None:
        began = time.monotonic()
        while time.monotonic() < began + 0.03:
            pass
        steps.append((began, time.monotonic()))

    await asyncio.gather(*(pace.step(hold) for _ in range(4)))

    assert len(steps) == 4
    for (began, ended), (following, _) in itertools.pairwise(steps):
        assert following - ended >= (ended - began) * 0.99


async def test_a_step_that_raises_leaves_its_place_to_the_next() -> None:
    pace = Pace()

    def refuse() -> None:
        raise MalformedJson

    with pytest.raises(MalformedJson):
        await pace.step(refuse)
    assert await pace.step(lambda: 1) == 1
