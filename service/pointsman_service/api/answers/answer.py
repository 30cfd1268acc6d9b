"""What successful answers have in common: JSON, with times in UTC."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fastapi import Response
from pydantic_core import to_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


Headers = list[tuple[bytes, bytes]]

_ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]
_NOT_STORED = (b"cache-control", b"no-store")
_ASKED_AGAIN = (b"cache-control", b"no-cache")
GUARDS: tuple[tuple[bytes, bytes], ...] = (*_ALWAYS, _NOT_STORED)
"""Headers of every answer that has none of the same names: it is what it says it is, loads nothing, stands in no page,
tells no other site where it was shown, and stays in no cache.
"""
GUARD_LINES = b"".join(b"%b: %b\r\n" % field for field in GUARDS)
"""The same as they stand in an answer."""
AT_ONCE = "pointsman.at_once"
"""In the scope of a request whose connection can write a whole answer at once: an ``AtOnce``."""


def guards_of(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Those that an answer with these headers lacks. One with an ``ETag`` may be kept, and is asked for again."""
    names = {name for name, _ in headers}
    lacking = [field for field in _ALWAYS if field[0] not in names]
    if b"cache-control" not in names:
        lacking.append(_ASKED_AGAIN if b"etag" in names else _NOT_STORED)
    return lacking


class AtOnce(Protocol):
    """Writes an answer at once, which is half of what it costs by two messages of ASGI."""

    def __call__(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, lines: bytes = b"") -> bool:
        """Write all of it, and its length; False: nothing was written, send it as usual. Header fields are not looked
        at: they hold no line break. ``lines``: others, as they stand in the answer.
        """
        ...


class Answer(NamedTuple):
    """A response, whole. Its length is not among the headers."""

    status: int
    headers: Headers
    body: bytes

    async def send_to(self, send: Any, *, head_only: bool = False) -> None:
        """Send it, to a ``HEAD`` without its body."""
        length = (b"content-length", str(len(self.body)).encode())
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers, length]})
        await send({"type": "http.response.body", "body": b"" if head_only else self.body})


class Verbatim:
    """JSON text that is written as it is: deeper than the serializer goes."""

    def __init__(self, text: str) -> None:
        self.text = text


def json_bytes(content: object) -> bytes:
    """``content`` as JSON. What JSON has no word for (NaN, infinity) becomes null."""
    places: list[tuple[bytes, bytes]] = []

    def reserve(value: object) -> str:
        if not isinstance(value, Verbatim):
            raise TypeError(f"{type(value).__name__} is not JSON")
        # Nobody can have guessed it, so it is nowhere else in the document.
        place = secrets.token_hex(16)
        places.append((f'"{place}"'.encode(), value.text.encode()))
        return place

    document = to_json(content, inf_nan_mode="null", fallback=reserve)
    for place, text in places:
        document = document.replace(place, text, 1)
    return document


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``content`` as ``json_bytes`` writes it."""
    return Response(
        json_bytes(content),
        status_code=status,
        headers=dict(headers or {}),
        media_type="application/json",
    )


def moment(at: datetime | None) -> str | None:
    """ISO 8601 in UTC, ending in Z."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment_of(unix_seconds: float | None) -> str | None:
    """ISO 8601 in UTC of a time in Unix seconds."""
    return None if unix_seconds is None else moment(datetime.fromtimestamp(unix_seconds, UTC))


def plain(figures: "DataclassInstance") -> dict[str, Any]:
    """The fields of a view, with times as text."""
    return {name: moment(value) if isinstance(value, datetime) else value for name, value in asdict(figures).items()}
