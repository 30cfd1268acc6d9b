"""The address of the broker as the settings of both sides take it.

What is wrong with one is said here. The libraries would say it later, each in another way, and quote what they could
not read, which may be a piece of a password.
"""

from urllib.parse import parse_qs, urlsplit

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
