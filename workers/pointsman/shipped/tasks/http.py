"""Calls over HTTP: any service in any language becomes a worker."""

import base64
import json as json_text
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict

from pydantic import Field

from pointsman.app import app
from pointsman.bases import ExternalAPITask
from pointsman.errors import PermanentError
from pointsman.outbound.calls import Answer
from pointsman_contract.message import HEADER

RESPONSE_BYTES = 32 * 1024
"""Longest response body."""

_TEXT_BYTES = 48 * 1024
_HEADER_CHARACTERS = 1000
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "iso-8859-15", "windows-1252"})
_KEPT_HEADERS = (
    "content-type", "content-length", "content-encoding", "location", "etag", "last-modified", "retry-after",
    "x-request-id",
)  # fmt: skip
_OURS = frozenset(
    {
        "connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Headers of the connection, which is not the caller's."""

HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\t\x20-\x7e]*$", max_length=8000)]
Headers = Annotated[
    dict[HeaderName, HeaderValue], Field(max_length=50, json_schema_extra={"additionalProperties": False})
]


class HeaderRefused(PermanentError):
    """A header of the request belongs to the connection and not to the caller."""


class Response(TypedDict):
    """What ``http_request`` returns."""

    status: int
    headers: dict[str, str]
    body: str
    body_encoding: Literal["text", "base64"]
    """``base64`` when the body is compressed, not text in a common character set, or too long as JSON text."""


@app.task(name="http_request", base=ExternalAPITask, bind=True, url_argument="url")
def http_request(
    self: Any,
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    url: Annotated[str, Field(pattern="^https?://", max_length=8000)],
    headers: Headers | None = None,
    body: str | None = None,
    json: Any = None,
    expected_status: Annotated[list[Annotated[int, Field(ge=200, le=599)]], Field(min_length=1, max_length=50)]
    | None = None,
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=40)] = ExternalAPITask.connect_seconds,
    read_timeout_seconds: Annotated[float, Field(gt=0, le=40)] = ExternalAPITask.read_seconds,
    total_timeout_seconds: Annotated[float, Field(gt=0, le=45)] = 40.0,
    max_response_bytes: Annotated[int, Field(ge=0, le=RESPONSE_BYTES)] = RESPONSE_BYTES,
) -> Response:
    """Sends one HTTP request to a public address; an unexpected status is a failure. Redirects are not followed.

    Retried: no answer in time, a connection that fails, 408, 425, 429 and 5xx but 501 and 505, after ``Retry-After``
    when the answer has one. Any other unexpected status is permanent. The called service can tell attempts of one task
    apart from new work by ``Idempotency-Key``, the task's id.
    """
    if body is not None and json is not None:
        raise PermanentError("give either body or json, not both")
    answer = self.http.call(
        method,
        url,
        headers=_headers(self, headers or {}, is_text=body is not None),
        content=None if body is None else body.encode(),
        json=json,
        expected=expected_status,
        response_bytes=max_response_bytes,
        connect_seconds=connect_timeout_seconds,
        read_seconds=read_timeout_seconds,
        total_seconds=total_timeout_seconds,
    )
    return _response(answer)


def _headers(task: Any, given: Mapping[str, str], *, is_text: bool) -> dict[str, str]:
    names = {name.lower() for name in given}
    refused = sorted(names & _OURS)
    if refused:
        raise HeaderRefused(f"{', '.join(refused)}: belongs to the connection and cannot be given")
    ours = {
        "Content-Type": "text/plain; charset=utf-8" if is_text else None,
        "Idempotency-Key": task.request.id,
        "Pointsman-Task": task.request.id,
        "Pointsman-Attempt": task.request.id and str(task.attempt),
        "Traceparent": task.request.get(HEADER, {}).get("traceparent"),
    }
    return {name: value for name, value in ours.items() if value and name.lower() not in names} | dict(given)


def _response(answer: Answer) -> Response:
    found = answer.headers
    kept = {name: found[name] for name in _KEPT_HEADERS if len(found.get(name, "")) in range(1, _HEADER_CHARACTERS)}
    text = _text(answer)
    if text is None:
        encoded = base64.b64encode(answer.content).decode()
        return {"status": answer.status, "headers": kept, "body": encoded, "body_encoding": "base64"}
    return {"status": answer.status, "headers": kept, "body": text, "body_encoding": "text"}


def _text(answer: Answer) -> str | None:
    """The body as text, when it is text and its JSON fits a result."""
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        return None
    content_type = answer.headers.get("content-type", "")
    charset = content_type.lower().partition("charset=")[2].partition(";")[0].strip(" \"'") or "utf-8"
    if charset not in _CHARSETS:
        return None
    try:
        text = answer.content.decode(charset)
    except UnicodeDecodeError:
        return None
    if "\0" in text or len(json_text.dumps(text, ensure_ascii=False).encode()) > _TEXT_BYTES:
        return None
    return text
