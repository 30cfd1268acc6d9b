import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.body import parse_json, read_body
from service.errors import BodyTooLarge, InvalidRequest, MalformedJson, UnsupportedMediaType

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


def test_the_deepest_allowed_nesting_passes_and_one_more_does_not() -> None:
    def nested(levels: int) -> bytes:
        return b"[" * levels + b"]" * levels

    assert parse_json(nested(DEPTH), DEPTH)
    with pytest.raises(InvalidRequest, match="not valid") as raised:
        parse_json(nested(DEPTH + 1), DEPTH)
    assert "deeper than 32" in raised.value.errors[0]["detail"]


def test_a_hundred_thousand_brackets_are_refused_and_not_parsed() -> None:
    with pytest.raises(InvalidRequest):
        parse_json(b"[" * 100_000, DEPTH)


def test_brackets_inside_strings_are_no_depth() -> None:
    assert parse_json(json.dumps({"a": "[" * 100 + '"\\'}).encode(), DEPTH)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_any_json_value_arrives_unchanged(value: Any) -> None:
    assert parse_json(json.dumps(value).encode(), 200) == value


class Request:
    """An ASGI request in pieces."""

    def __init__(self, *chunks: bytes, headers: dict[bytes, bytes] | None = None) -> None:
        self.scope = {"headers": list((headers or {b"content-type": b"application/json"}).items())}
        self._messages = [
            {"type": "http.request", "body": chunk, "more_body": index < len(chunks) - 1}
            for index, chunk in enumerate(chunks)
        ]
        self.read = 0

    async def receive(self) -> dict[str, Any]:
        self.read += 1
        return self._messages.pop(0)


async def test_a_body_in_pieces_is_put_together() -> None:
    request = Request(b"ab", b"cd", b"e")
    assert await read_body(request.scope, request.receive, 5) == b"abcde"


async def test_a_declared_length_over_the_limit_is_refused_before_reading() -> None:
    request = Request(b"", headers={b"content-type": b"application/json", b"content-length": b"6"})
    with pytest.raises(BodyTooLarge):
        await read_body(request.scope, request.receive, 5)
    assert request.read == 0


async def test_an_undeclared_body_over_the_limit_is_refused_without_reading_on() -> None:
    request = Request(b"abc", b"def", b"ghi", b"jkl")
    with pytest.raises(BodyTooLarge):
        await read_body(request.scope, request.receive, 5)
    assert request.read == 2


@pytest.mark.parametrize("headers", [{b"content-type": b"text/plain"}, {b"content-length": b"2"}])
async def test_another_media_type_or_none_is_refused(headers: dict[bytes, bytes]) -> None:
    request = Request(b"{}", headers=headers)
    with pytest.raises(UnsupportedMediaType):
        await read_body(request.scope, request.receive, 5)
