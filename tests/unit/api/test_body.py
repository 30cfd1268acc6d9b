import asyncio
import json
import time
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman_service.api.bodies.body import parse_json, read_body
from pointsman_service.api.bodies.room import Places, Room, Turns
from pointsman_service.errors import (
    BadRequest,
    InvalidRequest,
    MalformedJson,
    TooManyBodies,
    TooManyReaders,
    UnsupportedMediaType,
)

DEPTH = 32


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{'a':1}", b'{"a":1}}', b"\xff", b'{"a":\x00}', b"\xef\xbb\xbf{}", b"nul"]
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedJson):
        parse_json(body, DEPTH)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"a":[NaN]}', "/a/0"),
        (b'{"a":Infinity}', "/a"),
        (b'{"a":-Infinity}', "/a"),
        (b'{"a":{"b/c":"\\ud800"}}', "/a/b~1c"),
        (b'{"\\udfff":1}', ""),
    ],
)
def test_json_that_cannot_be_carried_is_named_by_its_pointer(body: bytes, pointer: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_json(body, DEPTH)
    assert [error["pointer"] for error in raised.value.errors] == [pointer]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b'{"a":1,"a":1}', [""]),
        (b'{"a" : 1 , "b":2, "a"\n:3}', [""]),
        (b'{"a":1,"\\u0061":2}', [""]),
        (b'{"":1,"":2}', [""]),
        (b'{"x":{"b:c":1,"b\\u003ac":2}}', ["/x"]),
        (b'{"a:":1,"a:":1,"b":"\\u003a\\u003A"}', [""]),
        (b'{"a/b":[0,{"k":1,"k":{"k":1,"k":1}}],"c":{"":0,"":0}}', ["/a~1b/1", "/a~1b/1/k", "/c"]),
        (b'{"a":{"b":1,"b":2},"a":1}', [""]),
        (b"[" + b",".join([b'{"a":1,"a":2}'] * 25) + b"]", [f"/{place}" for place in range(20)]),
        (b'{"a":[' + b",".join([b'{"a":1,"a":2}'] * 25) + b'],"a":1}', [""]),
        (b'{"a":1,"a":"' + b"x" * 1_000_000 + b'"}', [""]),
    ],
)
def test_an_object_that_gives_a_name_twice_is_named_by_its_pointer(body: bytes, pointers: list[str]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_json(body, DEPTH)
    assert [error["pointer"] for error in raised.value.errors] == pointers


@pytest.mark.parametrize(
    "body",
    [
        rb'{"a":"\\u003a"}',
        rb'{"a":"\u003a"}',
        rb'{"a:b":":","c":"\u003A:"}',
        rb'{"\":":1,"\\":"\":"}',
        b'{"a" :{"a":1}}',
    ],
)
def test_colons_in_strings_are_no_names(body: bytes) -> None:
    assert parse_json(body, DEPTH) == json.loads(body)


_COLONS = st.text(alphabet=':\\"u03aA{}', max_size=6)


@given(st.recursive(_COLONS, lambda inner: st.lists(st.tuples(_COLONS, inner), max_size=4)), st.randoms())
def test_a_name_given_twice_is_found_wherever_and_however_it_is_written(value: Any, random: Random) -> None:
    """Objects are drawn as lists of members, so that names may come again."""
    repeats = False

    def text_of(value: Any) -> str:
        nonlocal repeats
        if isinstance(value, str):
            signs = (f"\\u{ord(sign):04x}" if random.random() < 0.3 else json.dumps(sign)[1:-1] for sign in value)
            return f'"{"".join(signs)}"'
        repeats |= len({name for name, _ in value}) < len(value)
        space = random.choice(["", " ", "\n"])
        return "{" + ",".join(f"{text_of(name)}{space}:{space}{text_of(item)}" for name, item in value) + "}"

    body = text_of(value).encode()
    if repeats:
        with pytest.raises(InvalidRequest):
            parse_json(body, DEPTH)
    else:
        assert parse_json(body, DEPTH) == json.loads(body)


def test_the_deepest_allowed_nesting_passes_and_one_more_does_not() -> None:
    def nested(levels: int) -> bytes:
        return b"[" * levels + b"]" * levels

    assert parse_json(nested(DEPTH), DEPTH)
    with pytest.raises(InvalidRequest, match="not valid") as raised:
        parse_json(nested(DEPTH + 1), DEPTH)
    assert "deeper than 32" in raised.value.errors[0]["detail"]


def test_of_many_items_how_deep_they_are_is_left_to_who_looks_at_each() -> None:
    deeper = b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1)
    assert parse_json(deeper, DEPTH, of_many=True)
    with pytest.raises(InvalidRequest):
        parse_json(b"[" * 250 + b"]" * 250, DEPTH, of_many=True)


def test_a_hundred_thousand_brackets_are_refused_and_not_parsed() -> None:
    with pytest.raises(InvalidRequest):
        parse_json(b"[" * 100_000, DEPTH)


@pytest.mark.parametrize("part", [b'\\"', b'"', b"\\", b'"\\'])
def test_text_that_never_ends_after_very_many_arrays_is_refused_in_one_pass(part: bytes) -> None:
    began = time.process_time()
    with pytest.raises((InvalidRequest, MalformedJson)):
        parse_json(b"[" * 250_001 + b'"' + part * (2_000_000 // len(part)), 34)
    # From each quote on again it would take hours.
    assert time.process_time() - began < 2


def test_brackets_inside_strings_are_no_depth() -> None:
    assert parse_json(json.dumps({"a": "[" * 100 + '"\\'}).encode(), DEPTH)


def test_very_many_arrays_are_refused_and_as_many_brackets_in_a_text_are_not() -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_json(b"[" + b",".join([b"[]"] * 250_000) + b"]", DEPTH)
    assert raised.value.errors == [{"pointer": "", "detail": "has more than 250000 arrays and objects"}]
    assert parse_json(json.dumps(['"[{\\' * 200_000]).encode(), DEPTH) == ['"[{\\' * 200_000]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_any_json_value_arrives_unchanged(value: Any) -> None:
    assert parse_json(json.dumps(value).encode(), 200) == value


class Request:
    """An ASGI request in pieces."""

    def __init__(self, *chunks: bytes, headers: dict[bytes, bytes] | None = None) -> None:
        self.scope = {"headers": list((headers or {b"content-type": b"application/json"}).items())}
        self.messages = [
            {"type": "http.request", "body": chunk, "more_body": index < len(chunks) - 1}
            for index, chunk in enumerate(chunks)
        ]
        self.read = 0

    async def receive(self) -> dict[str, Any]:
        self.read += 1
        return self.messages.pop(0)


async def test_a_body_in_pieces_is_put_together() -> None:
    request = Request(b"ab", b"cd", b"e")
    assert await read_body(request.scope, request.receive, Room(5)) == b"abcde"


@pytest.mark.parametrize("headers", [{b"content-type": b"text/plain"}, {b"content-length": b"2"}])
async def test_another_media_type_or_none_is_refused(headers: dict[bytes, bytes]) -> None:
    request = Request(b"{}", headers=headers)
    with pytest.raises(UnsupportedMediaType):
        await read_body(request.scope, request.receive, Room(5))


async def test_a_body_that_breaks_off_is_no_body() -> None:
    request = Request(b'{"a":', b"", headers={b"content-type": b"application/json"})
    request.messages[1:] = [{"type": "http.disconnect"}]
    with pytest.raises(BadRequest):
        await read_body(request.scope, request.receive, Room(100))


@pytest.mark.parametrize(("encoding", "read"), [(b"gzip", False), (b"br, identity", False), (b"Identity", True)])
async def test_a_body_in_an_encoding_that_is_not_read_is_refused(encoding: bytes, read: bool) -> None:
    request = Request(b"{}", headers={b"content-type": b"application/json", b"content-encoding": encoding})
    if read:
        assert await read_body(request.scope, request.receive, Room(5)) == b"{}"
        return
    with pytest.raises(UnsupportedMediaType, match="Content-Encoding"):
        await read_body(request.scope, request.receive, Room(5))


async def test_a_body_in_pieces_that_finds_no_room_is_refused_and_leaves_none_taken() -> None:
    room = Room(5)
    long, short = Request(b"abc", b"def"), Request(b"ab", b"cde")
    with pytest.raises(TooManyBodies):
        await read_body(long.scope, long.receive, room)
    assert await read_body(short.scope, short.receive, room) == b"abcde"
    room.take(5)


async def test_turns_are_taken_in_order_and_given_back_by_whoever_gives_up() -> None:
    turns, order = Turns(10), list[int]()
    done = asyncio.Event()

    async def take(number: int, size: int) -> None:
        async with turns.turn(size):
            order.append(number)
            await done.wait()

    tasks = [asyncio.create_task(take(number, size)) for number, size in enumerate([6, 6, 99, 1, 3])]
    await asyncio.wait(tasks, timeout=0)
    while order != [0]:
        await asyncio.wait(tasks, timeout=0)
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    assert order == [0]
    done.set()
    await asyncio.wait(tasks)
    assert order == [0, 2, 3, 4]
    async with turns.turn(10):
        pass


async def test_turn_that_is_given_up_while_others_are_let_through_makes_no_more_room() -> None:
    turns = Turns(1)
    async with turns.turn(1):
        waiting = asyncio.create_task(turns.turn(1).__aenter__())
        await asyncio.wait([waiting], timeout=0)
        waiting.cancel()
    # Its turn was passed over before it heard that it was cancelled.
    await asyncio.wait([waiting])
    async with turns.turn(1):
        second = asyncio.create_task(turns.turn(1).__aenter__())
        await asyncio.wait([second], timeout=0)
        assert not second.done()
    await second


async def test_readers_take_so_many_places_and_wait_no_longer_than_they_may() -> None:
    places = Places(1, 0.01)
    async with places.place():
        with pytest.raises(TooManyReaders):
            async with places.place():
                pass
    async with places.place():
        waiting = asyncio.create_task(places.place().__aenter__())
        await asyncio.wait([waiting], timeout=0)
        assert not waiting.done()
    await waiting
