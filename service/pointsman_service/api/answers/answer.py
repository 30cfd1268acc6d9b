"""What successful answers have in common: JSON, times in UTC, their documentation, and no parameter ignored."""

import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_origin

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


Headers = list[tuple[bytes, bytes]]


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


def plain(figures: "DataclassInstance") -> dict[str, Any]:
    """The fields of a view, with times as text."""
    return {name: moment(value) if isinstance(value, datetime) else value for name, value in asdict(figures).items()}


def example(value: object, description: str) -> dict[int | str, dict[str, Any]]:
    """For ``responses=`` of an operation: what it answers when all is well."""
    return {200: {"description": description, "content": {"application/json": {"example": with_nulls(value)}}}}


_NULL = "\u2400"
"""Stands for null in examples: FastAPI leaves every null out of the document."""


def with_nulls(value: Any) -> Any:
    """An example whose nulls survive until ``restore_nulls``."""
    return _replaced(value, None, _NULL)


def restore_nulls(value: Any) -> Any:
    """The document with the nulls of its examples."""
    return _replaced(value, _NULL, None)


def _replaced(value: Any, old: str | None, new: str | None) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    return new if value == old else value


def known_parameters_only(request: Request) -> None:
    """A dependency of every router: a query parameter that the operation does not have is refused, never ignored, and
    so is one that is given twice where one counts.
    """
    known = {field.alias: field for field in request.scope["route"].dependant.query_params}
    faults = []
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            faults.append({"type": "extra_forbidden", "loc": ("query", name), "msg": "this parameter does not exist"})
        elif times > 1 and not _takes_several(known[name].field_info.annotation):
            faults.append({"type": "repeated", "loc": ("query", name), "msg": "this parameter is given more than once"})
    if faults:
        raise RequestValidationError(faults)


def _takes_several(annotation: Any) -> bool:
    return any(get_origin(part) is list for part in (annotation, *get_args(annotation)))
