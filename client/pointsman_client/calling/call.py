"""One call of an operation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

JSON_TYPE = "application/json"
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of an API. ``path`` begins with a slash and has its query."""

    operation: str
    """Its ``operationId``; a method and a path, where it is asked for by these."""
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    repeatable: bool = False
    """Whether asking twice does what asking once does: it changes nothing, or the API knows it again by its key."""
    accept: str = JSON_TYPE

    def __post_init__(self) -> None:
        """Raises ``ValueError`` for a header that no request could carry."""
        for name, value in self.headers.items():
            if not value.isprintable():
                raise ValueError(f"{name} must be one line of printable characters")


def segment(text: object) -> str:
    """A part of a path, whatever characters are in it."""
    return quote(str(text), safe="")


def query(**wanted: object) -> str:
    """The query of a path, with its question mark; what is None is left out, and a list is given once for each."""
    pairs = [
        (name.rstrip("_"), _text(each))
        for name, value in wanted.items()
        if value is not None
        for each in (value if isinstance(value, list | tuple | set | frozenset) else (value,))
    ]
    return f"?{urlencode(pairs)}" if pairs else ""


def body(**fields: object) -> bytes:
    """A JSON object without what is None."""
    return encode({name: value for name, value in fields.items() if value is not None})


def body_with_nulls(unset: object, **fields: object) -> bytes:
    """A JSON object without what is ``unset``: here None is a value."""
    return encode({name: value for name, value in fields.items() if value is not unset})


def encode(document: object) -> bytes:
    """JSON. Raises ``TypeError`` for what JSON cannot say, ``ValueError`` for a moment without a time zone and for a
    number that is none.
    """
    return json.dumps(document, default=_plain, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode()


def new_key() -> str:
    """An ``Idempotency-Key`` that nobody else has."""
    import secrets

    return f"pm-{secrets.token_hex(16)}"


def headers(**wanted: str | None) -> dict[str, str]:
    """Header fields, named with underscores, without what is None."""
    return {name.replace("_", "-"): value for name, value in wanted.items() if value is not None}


def wait_header(seconds: float | None) -> str | None:
    """``Prefer: wait``, in whole seconds."""
    return None if seconds is None else f"wait={max(0, int(seconds))}"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _moment(value) if isinstance(value, datetime) else str(value)


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} is nothing that JSON can say")


def _moment(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError("a moment needs a time zone: datetime.now(UTC), not datetime.now()")
    return at.isoformat()
