"""Request bodies: read whole, limits before parsing, then JSON that every later stage can carry."""

import json
from typing import Any

from pydantic_core import from_json, to_json

from pointsman_service.admit.carrying import is_deeper, uncarried
from pointsman_service.api.bodies.header_fields import fields_given_once
from pointsman_service.api.bodies.repeated_names import repeated_names
from pointsman_service.api.bodies.room import Pace, Room
from pointsman_service.api.bodies.sizes import MOST_CONTAINERS, check_containers, check_values
from pointsman_service.errors import (
    BadRequest,
    FieldError,
    InvalidRequest,
    MalformedJson,
    UnsupportedMediaType,
)

_JSON = b"application/json"
_PLAIN = (b"", b"identity")
_VALUES_SEARCHED = 200_000
"""Where a fault lies is looked for among so many values; after them it is told by line and column."""


async def read_body(scope: dict[str, Any], receive: Any, room: Room) -> bytes:
    """The whole body. Raises ``UnsupportedMediaType``, ``BadRequest`` for one that breaks off, ``TooManyBodies`` for
    one that comes in parts when ``room`` has none for it, and what ``receive`` raises, which bounds it.
    """
    fields = fields_given_once(scope)
    is_json = False
    for name, value in scope["headers"] if fields is None or b"content-encoding" in fields else ():
        if name == b"content-type":
            is_json = _is_json(value)
        elif name == b"content-encoding" and value.strip().lower() not in _PLAIN:
            raise UnsupportedMediaType("A body with a Content-Encoding is not read: send it plain.")
    # Also against other sites: a page may send any other type, or none, to an address it cannot read.
    if not is_json and (fields is None or not _is_json(fields.get(b"content-type", b""))):
        raise UnsupportedMediaType
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    return await _rest_of_body(receive, body, room)


async def _rest_of_body(receive: Any, chunk: bytes, room: Room) -> bytes:
    chunks: list[bytes] = []
    size, more = 0, True
    try:
        while True:
            room.take(len(chunk))
            size += len(chunk)
            chunks.append(chunk)
            if not more:
                return b"".join(chunks)
            message = await receive()
            if message["type"] == "http.disconnect":
                raise BadRequest("The connection ended before the body did.")
            chunk, more = message.get("body", b""), message.get("more_body", False)
    finally:
        room.release(size)


def _is_json(content_type: bytes) -> bool:
    if content_type == _JSON:
        return True
    media_type = content_type.split(b";", 1)[0].strip().lower()
    return media_type == _JSON or media_type.endswith(b"+json")


def parse_json(body: bytes, depth: int, *, of_many: bool = False) -> Any:
    """The value of a JSON text. Raises ``InvalidRequest`` for JSON that Python's own parser takes and we cannot carry
    (NaN, lone surrogates), for objects that give a name twice, for nesting deeper than ``depth``, and for very many
    arrays and objects; ``MalformedJson`` for anything else.

    ``of_many``: it is of many items alike, and whoever called looks how deep each is; nothing is refused for its depth
    but what no parser here reads.
    """
    brackets = body.count(b"[") + body.count(b"{")
    if brackets > MOST_CONTAINERS:
        check_containers(body)
    try:
        # The parser has a limit of its own, 200 levels, so that no input exhausts the stack.
        # What many items have in common is one text in memory.
        value = from_json(body, allow_inf_nan=False, cache_strings="all" if of_many else "keys")
    except ValueError as error:
        if "recursion limit" in str(error):
            raise _too_deep(depth) from None
        raise _explained(body, str(error)) from None
    if not of_many and brackets > depth:
        check_depth(value, depth)
    # Nearly every text is cleared here: without an escape it has as many colons as what was read from it.
    if b"\\" in body or body.count(b":") != to_json(value).count(b":"):
        repeated = repeated_names(body, value)
        if repeated:
            raise InvalidRequest(errors=repeated)
    return value


async def parse_long_json(body: bytes, depth: int, pace: Pace) -> Any:
    """As ``parse_json`` of many items, in steps of ``pace``; also raises ``InvalidRequest`` for very many values and
    names.
    """
    await pace.step(lambda: _check_size(body))
    try:
        value = await pace.step(lambda: from_json(body, allow_inf_nan=False))
    except ValueError as error:
        if "recursion limit" in str(error):
            raise _too_deep(depth) from None
        reason = str(error)
        try:
            value = await pace.step(lambda: json.loads(body.decode()))
        except (ValueError, RecursionError):
            raise _malformed(reason) from None
        raise await pace.step(lambda: _uncarried(value, reason)) from None
    if b"\\" in body or body.count(b":") != await pace.step(lambda: to_json(value).count(b":")):
        repeated = await pace.step(lambda: repeated_names(body, value))
        if repeated:
            raise InvalidRequest(errors=repeated)
    return value


def _check_size(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") > MOST_CONTAINERS:
        check_containers(body)
    check_values(body)


def check_depth(value: Any, depth: int) -> None:
    """Raises ``InvalidRequest`` for nesting deeper than ``depth``."""
    if is_deeper(value, depth):
        raise _too_deep(depth)


def _too_deep(depth: int) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer="", detail=f"is nested deeper than {depth} levels")])


def _explained(body: bytes, reason: str) -> MalformedJson | InvalidRequest:
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):
        return _malformed(reason)
    return _uncarried(value, reason)


def _malformed(reason: str) -> MalformedJson:
    return MalformedJson(f"The body is not valid JSON: {reason}.")


def _uncarried(value: Any, reason: str) -> InvalidRequest:
    return InvalidRequest(errors=uncarried(value, _VALUES_SEARCHED) or [FieldError(pointer="", detail=reason)])
