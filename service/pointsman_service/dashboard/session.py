"""Cookies of the dashboard; the one whose value is a session; and who is taken at their word for TLS."""

from collections.abc import Mapping
from typing import Any, Final

from pointsman_service.api.requests.origin import is_secure, said
from pointsman_service.named_hosts import is_loopback

COOKIE: Final = "pointsman_session"
BEGUN: Final = "pointsman_sign_in"
"""What a browser keeps while it is at the issuer."""
_PREFIX: Final = "__Host-"
"""No page of a subdomain and none without TLS can set a cookie of such a name."""
_OURS: Final = "pointsman_"
"""What the names of ours begin with."""


def cookies_in(given: bytes, *, over_tls: bool) -> dict[str, str]:
    """The cookies of a ``Cookie`` header. ``over_tls`` only those of ours that were set so: the others may be of a page
    of a subdomain, which would have somebody go on as somebody else, or put words and buttons on our pages.
    """
    # Other programs of this host have cookies, too, and some are nothing that Python's own reader takes: it then reads
    # none at all.
    pairs = (one.strip().partition("=") for one in given.decode("latin-1").split(";"))
    found = {name: value for name, equals, value in pairs if equals}
    kept = {name: value for name, value in found.items() if not (over_tls and name.startswith(_OURS))}
    ours = {name[len(_PREFIX) :]: value for name, value in found.items() if name.startswith(_PREFIX + _OURS)}
    return kept | ours


def cookie(name: str, value: str, scope: Any, *, seconds: int | None = None) -> tuple[bytes, bytes]:
    """A header that sets a cookie which no script sees, and no other site sends a form with."""
    return _cookie(name, value, seconds, secure=is_secure(scope))


def session_in(cookies: bytes, *, over_tls: bool) -> str | None:
    """The session in a ``Cookie`` header."""
    return cookies_in(cookies, over_tls=over_tls).get(COOKIE)


def set_session(scope: Any, value: str, seconds: float) -> list[tuple[bytes, bytes]]:
    """Headers that set the cookie; with no ``seconds`` they take away whatever there is of it."""
    if value:
        return [cookie(COOKIE, value, scope, seconds=int(seconds))]
    return [_cookie(COOKIE, "", 0, secure=secure) for secure in (True, False)]


def set_begun(scope: Any, value: str, seconds: float) -> tuple[bytes, bytes]:
    """A header that sets what a browser keeps of a sign-in that it has begun; with no ``seconds`` it keeps nothing."""
    return cookie(BEGUN, value, scope, seconds=int(seconds))


def begun_in(cookies: Mapping[str, str]) -> str:
    """What it keeps; empty: nothing."""
    return cookies.get(BEGUN, "")


def may_sign_in(scope: Any) -> bool:
    """Whether nobody on the way reads a key that is typed: over TLS, or on this machine."""
    host = said(scope, b"host").decode("latin-1")
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    return is_secure(scope) or is_loopback(name) or name.endswith(".localhost")


def _cookie(name: str, value: str, seconds: int | None, *, secure: bool) -> tuple[bytes, bytes]:
    lasting = "" if seconds is None else f"; Max-Age={seconds}"
    called, marked = (f"{_PREFIX}{name}", "; Secure") if secure else (name, "")
    return b"set-cookie", f"{called}={value}; Path=/; HttpOnly; SameSite=Lax{lasting}{marked}".encode()
