"""What may stand in ``allowed_hosts`` and ``allowed_origins``: a value that could let nobody in is refused at start.
And which addresses only this machine reaches.
"""

import re
from ipaddress import ip_address

_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", re.I)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@]+/?", re.I)


def host_names(values: tuple[str, ...]) -> tuple[str, ...]:
    """Names and addresses as they are. Raises ValueError naming one with a scheme, a port or a pattern."""
    for value in values:
        if value != "*" and not _NAME.fullmatch(value) and not _is_address(value):
            raise ValueError(f"{value!r} is no name of a host: write it without scheme, port and path, or * for any")
    return values


def page_origins(values: tuple[str, ...]) -> tuple[str, ...]:
    """Origins as they are. Raises ValueError naming one that no browser sends."""
    for value in values:
        if not _ORIGIN.fullmatch(value):
            raise ValueError(f"{value!r} is no origin: write scheme and host, such as https://desk.example.org")
    return values


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what is bound to it."""
    bare = host.lower().strip("[]").rstrip(".")
    if bare == "localhost":
        return True
    try:
        return ip_address(bare).is_loopback
    except ValueError:
        return False


def _is_address(value: str) -> bool:
    try:
        ip_address(value.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
