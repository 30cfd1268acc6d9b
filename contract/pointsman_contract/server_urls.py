"""The address of the broker as the settings of both sides take it.

What is wrong with one is said here. The libraries would say it later, each in another way, and quote what they could
not read, which may be a piece of a password.
"""

import re
from urllib.parse import parse_qs, quote, unquote, urlsplit

UNREADABLE = "its host and port cannot be read; in a password write / as %2F, ? as %3F, # as %23 and @ as %40"
_SCHEMES = ("redis://", "rediss://", "unix://")


def check_redis_url(url: str) -> None:
    """Raises ``ValueError``, which quotes nothing of the URL, for one that no client could use."""
    if not url.startswith(_SCHEMES):
        raise ValueError("must start with redis://, rediss:// or unix://")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(UNREADABLE) from None
    named = parse_qs(parts.query).get("db", [])
    if parts.scheme != "unix":
        named.append(parts.path.strip("/") or "0")
    if not all(name.isascii() and name.isdecimal() for name in named):
        # One client would take number 0 for it, and the others refuse.
        raise ValueError("must name its database by number, such as redis://127.0.0.1:6379/0")


def check_password(name: str, url: str | None, password: str | None, *, wants_user: bool) -> None:
    """Raises ``ValueError``, which quotes neither, for a password that has no place in the URL. ``name``: of both."""
    if password is None:
        return
    if url is None:
        raise ValueError(f"{name}_password is of no use without {name}_url")
    user, colon, _ = _account(url).partition(":")
    if colon or "password=" in url.partition("?")[2]:
        raise ValueError(f"{name}_password is given, and {name}_url holds a password, too: keep one of them")
    if wants_user and not user:
        raise ValueError(f"{name}_password is of no use without a user in {name}_url")


def with_password(url: str, password: str | None) -> str:
    """The URL with this password, whatever characters it has."""
    if password is None:
        return url
    scheme, _, rest = url.partition("://")
    user = _account(url)
    return f"{scheme}://{user}:{quote(password, safe='')}@{rest[len(user) :].removeprefix('@')}"


def _account(url: str) -> str:
    """What stands before the host, user and password as they are written."""
    # Not by urlsplit, whose errors quote what they cannot read.
    place = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]
    return place.rpartition("@")[0]


def password_of(url: str) -> list[str]:
    """The password that a readable URL names, as a server is told it; none or one."""
    parts = urlsplit(url)
    named = [unquote(parts.password)] if parts.password else []
    return named + parse_qs(parts.query).get("password", [])
