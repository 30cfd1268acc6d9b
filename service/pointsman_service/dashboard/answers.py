"""Pages as they are sent: their headers, what a browser may do with them, and compressed."""

import gzip
import secrets
from typing import Any, Final

from pointsman_service.api.answers.answer import Answer, Headers

_WORTH_PACKING = 1000
_LEVEL = 6
_HTML: Final = (b"content-type", b"text/html; charset=utf-8")
_ALWAYS: Final[Headers] = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    # Back and forward ask again: what is old must not look fresh.
    (b"cache-control", b"no-store"),
]


def new_nonce() -> str:
    """What the scripts of one page are known by."""
    return secrets.token_urlsafe(16)


def policy(nonce: str) -> str:
    """The page runs the scripts that we named, asks only us, and stands in no other page. No text becomes markup but
    through htmx, whose elements ``hx-csp`` knows by the nonce.
    """
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script';"
        " trusted-types htmx"
    )


def html(scope: Any, text: str, nonce: str, *, status: int = 200, headers: Headers | None = None) -> Answer:
    """A page."""
    fields = [_HTML, *_ALWAYS, (b"content-security-policy", policy(nonce).encode()), *(headers or [])]
    body = text.encode()
    if len(body) >= _WORTH_PACKING:
        fields.append((b"vary", b"accept-encoding"))
        if accepts_gzip(scope):
            return Answer(status, [*fields, (b"content-encoding", b"gzip")], gzip.compress(body, _LEVEL, mtime=0))
    return Answer(status, fields, body)


def see_other(path: str, headers: Headers | None = None) -> Answer:
    """Look there next. ``path`` is relative to what was asked for."""
    return Answer(303, [(b"location", path.encode()), *_ALWAYS, *(headers or [])], b"")


def accepts_gzip(scope: Any) -> bool:
    """Whether who asks reads gzip."""
    accepted = dict(scope["headers"]).get(b"accept-encoding", b"")
    for one in accepted.split(b","):
        name, _, quality = one.strip().partition(b";")
        if name.strip().lower() == b"gzip":
            return quality.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False
