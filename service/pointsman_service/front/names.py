"""Which names the API answers to, and which pages of the web may ask it to act."""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from pointsman_service.named_hosts import is_loopback
from pointsman_service.settings import Settings

ANY = "*"
_AUTHORITY = re.compile(r"(?:[\w.~-]+|\[[0-9A-Za-z:.%]+\])(?::[0-9]*)?", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Names:
    """The names this API was given.

    A page of the web can give its own name this machine's address, and then reads and does what it likes ("DNS
    rebinding"); its requests carry that name. No name can be had for an address, so where the API is bound to more than
    this machine alone, addresses are good names.
    """

    def __init__(self, settings: Settings) -> None:
        self._any = ANY in settings.allowed_hosts
        self._names = {"localhost", *map(_folded, settings.allowed_hosts)}
        if settings.alert_base_url is not None:
            self._names.add(host_of(settings.alert_base_url.partition("://")[2].partition("/")[0]))
        self._addresses = not is_loopback(settings.host)
        if self._addresses:
            self._names.add(_folded(settings.host))

    def has(self, authority: str) -> bool:
        """Whether the value of a ``Host`` header, or the authority of an origin, is one of them, on whatever port."""
        if self._any:
            return True
        if _AUTHORITY.fullmatch(authority) is None:
            # Links are made of it, as it stands.
            return False
        host = host_of(authority)
        if host in self._names:
            return True
        try:
            address = ip_address(host)
        except ValueError:
            return host.endswith(".localhost")
        return self._addresses or address.is_loopback


def host_of(authority: str) -> str:
    """The host of ``host[:port]``, in lower case, without the brackets of IPv6 and a trailing dot; "" for none."""
    try:
        return _folded(urlsplit(f"//{authority}").hostname or "")
    except ValueError:
        return ""


def is_same(origin: str, authority: str) -> bool:
    """Whether an ``Origin`` is what this ``Host`` names. A proxy before us may have taken the TLS off."""
    try:
        page, asked = urlsplit(origin), urlsplit(f"//{authority}")
        port = _DEFAULT_PORTS.get(page.scheme)
        return (page.hostname, page.port or port) == (asked.hostname, asked.port or port)
    except ValueError:
        return False


def folded_origins(origins: Iterable[str]) -> frozenset[str]:
    """As browsers write them."""
    return frozenset(origin.rstrip("/").lower() for origin in origins)


def _folded(host: str) -> str:
    return host.lower().strip("[]").rstrip(".")
