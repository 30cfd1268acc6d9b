"""Request bodies: limits before parsing, then JSON that every later stage can carry."""

import json
from typing import Any

from pydantic_core import from_json

from service.admit.carrying import uncarried
from service.api.repeated_names import repeated_names
from service.errors import BodyTooLarge, FieldError, InvalidRequest, MalformedJson, UnsupportedMediaType

_CONTAINERS = (dict, list)
_VALUES_SEARCHED = 200_000
"""Where a fault lies is looked for among so many values; after them it is told by line and column."""


async def read_body(scope: dict[str, Any], receive: Any, limit_bytes: int) -> bytes:
    """The whole body. Raises ``BodyTooLarge`` as soon as it is known to be, and ``UnsupportedMediaType``."""
    is_json = False
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit_bytes:
            raise BodyTooLarge(f"The body is longer than {limit_bytes} bytes.")
        if name == b"content-type":
            is_json = _is_json(value)
    # Also against other sites: a page may send any other type, or none, to an address it cannot read.
    if not is_json:
        raise UnsupportedMediaType
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body") and len(body) <= limit_bytes:
        return body
    chunks, size = [body], len(body)
    while message.get("more_body"):
        if size > limit_bytes:
            break
        message = await receive()
        chunk = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
    if size > limit_bytes:
        raise BodyTooLarge(f"The body is longer than {limit_bytes} bytes.")
    return b"".join(chunks)


def _is_json(content_type: bytes) -> bool:
    media_type = content_type.split(b";", 1)[0].strip().lower()
    return media_type == b"application/json" or media_type.endswith(b"+json")


def parse_json(body: bytes, depth: int) -> Any:
    """The value of a JSON text. Raises ``InvalidRequest`` for JSON that Python's own parser takes and we cannot carry
    (NaN, lone surrogates), for objects that give a name twice and for nesting deeper than ``depth``; ``MalformedJson``
    for anything else.
    """
    try:
        # The parser has a limit of its own, 200 levels, so that no input exhausts the stack.
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        if "recursion limit" in str(error):
            raise _too_deep(depth) from None
        raise _explained(body, str(error)) from None
    if body.count(b"[") + body.count(b"{") > depth and _is_deeper(value, depth):
        raise _too_deep(depth)
    repeated = repeated_names(body, value)
    if repeated:
        raise InvalidRequest(errors=repeated)
    return value


def _too_deep(depth: int) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer="", detail=f"is nested deeper than {depth} levels")])


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(depth):
        level = [
            item
            for container in level
            for item in (container.values() if type(container) is dict else container)
            if type(item) in _CONTAINERS
        ]
    return bool(level)


def _explained(body: bytes, reason: str) -> MalformedJson | InvalidRequest:
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):
        return MalformedJson(f"The body is not valid JSON: {reason}.")
    return InvalidRequest(errors=uncarried(value, _VALUES_SEARCHED) or [FieldError(pointer="", detail=reason)])
