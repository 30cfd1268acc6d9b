"""Calls over HTTP: any service in any language becomes a worker."""

from typing import Any, Literal, TypedDict
from urllib.parse import urlsplit

import httpx

from workers.app import app
from workers.errors import PermanentError

RESPONSE_BYTES = 32 * 1024
"""Longest response body."""

_KEPT_HEADERS = ("content-type", "content-length", "location", "etag", "retry-after", "x-request-id")


class UnsupportedURL(PermanentError):
    """The URL is not one of http or https with a host."""


class HTTPStatusError(Exception):
    """The answer was not a 2xx."""


class ResponseTooLarge(PermanentError):
    """The answer's body is longer than ``RESPONSE_BYTES``."""


class Response(TypedDict):
    """What ``http_request`` returns."""

    status: int
    headers: dict[str, str]
    body: str


@app.task(name="http_request", queue="external_api")
def http_request(
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    url: str,
    headers: dict[str, str] | None = None,
    body: str | None = None,
    json: Any = None,
    timeout_seconds: float = 10,
) -> Response:
    """Sends one HTTP request; anything but a 2xx is a failure. Redirects are not followed."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UnsupportedURL(f"only http and https URLs with a host can be called, not {parts.scheme or 'none'!r}")
    if body is not None and json is not None:
        raise PermanentError("give either body or json, not both")
    with (
        httpx.Client(timeout=timeout_seconds, follow_redirects=False) as client,
        client.stream(method, url, headers=headers, content=body, json=json) as answer,
    ):
        content = _read(answer)
    if not answer.is_success:
        raise HTTPStatusError(f"{method} answered {answer.status_code} {answer.reason_phrase}: {content[:500]}")
    kept = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
    return {"status": answer.status_code, "headers": kept, "body": content}


def _read(answer: httpx.Response) -> str:
    content = b""
    for chunk in answer.iter_bytes():
        content += chunk
        if len(content) > RESPONSE_BYTES:
            raise ResponseTooLarge(f"the answer's body is longer than {RESPONSE_BYTES} bytes")
    return content.decode(answer.encoding or "utf-8", errors="replace")
