"""That a browser is signed in: a cookie whose value is a session, and who is taken at their word for TLS."""

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

from pointsman_service.api.requests.origin import is_secure, said
from pointsman_service.named_hosts import is_loopback

COOKIE: Final = "pointsman_session"
BEGUN: Final = "pointsman_sign_in"
"""What a browser keeps while it is at the issuer."""
_PREFIX: Final = "__Host-"
"""No page of a subdomain and none without TLS can set a cookie of such a name."""
_NAMES: Final = (_PREFIX + COOKIE, COOKIE)


def session_in(cookies: bytes, *, over_tls: bool) -> str | None:
    """The session in a ``Cookie`` header. ``over_tls`` only of a cookie that was set so: the other one may be of a page
    of a subdomain, which would have somebody go on as somebody else.
    """
    try:
        found = SimpleCookie(cookies.decode("latin-1"))
    except CookieError:
        return None
    return next((found[name].value for name in _NAMES[: 1 if over_tls else None] if name in found), None)


def set_session(scope: Any, value: str, seconds: float) -> list[tuple[bytes, bytes]]:
    """Headers that set the cookie; with no ``seconds`` they take away whatever there is of it."""
    secure = is_secure(scope)
    if value:
        return [_cookie(_NAMES[0] if secure else COOKIE, value, seconds, secure=secure)]
    return [_cookie(name, "", 0, secure=name != COOKIE) for name in _NAMES]


def set_begun(scope: Any, value: str, seconds: float) -> tuple[bytes, bytes]:
    """A header that sets what a browser keeps of a sign-in that it has begun; with no ``seconds`` it keeps nothing."""
    secure = is_secure(scope)
    return _cookie(f"{_PREFIX}{BEGUN}" if secure else BEGUN, value, seconds, secure=secure)


def begun_in(cookies: Mapping[str, str], scope: Any) -> str:
    """What it keeps; empty: nothing."""
    return cookies.get(f"{_PREFIX}{BEGUN}" if is_secure(scope) else BEGUN, "")


def may_sign_in(scope: Any) -> bool:
    """Whether nobody on the way reads a key that is typed: over TLS, or on this machine."""
    host = said(scope, b"host").decode("latin-1")
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    return is_secure(scope) or is_loopback(name) or name.endswith(".localhost")


def _cookie(name: str, value: str, seconds: float, *, secure: bool) -> tuple[bytes, bytes]:
    lasting = f"; Max-Age={int(seconds)}"
    return b"set-cookie", (
        f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{lasting}{'; Secure' if secure else ''}"
    ).encode()
