"""Which circuit breakers a task belongs to: that of its task type, and one for each thing it depends on.

A dependency has one name however it is written: ``folded`` is applied wherever one comes in.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

MOST = 10
"""Dependencies of one task."""
_PLAIN = r"[A-Za-z0-9][A-Za-z0-9._:@+\-]{0,199}"
NAME_PATTERN = rf"^{_PLAIN}$"
"""What a dependency may be called."""
_GROUPS = "[0-9A-Fa-f]{1,4}:"
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_FROM_COLONS = rf"::(({_GROUPS}){{0,6}}[0-9A-Fa-f]{{1,4}}|({_GROUPS}){{0,5}}({_OCTET}\.){{3}}{_OCTET})?"
"""An IPv6 address that begins with its zeros. Of another one the first digit makes it a name, whatever follows."""
GIVEN_PATTERN = rf"^({_PLAIN}|\[([0-9A-Fa-f][0-9A-Fa-f:.]{{1,44}}|{_FROM_COLONS})\](:[0-9]{{1,5}})?)$"
"""How a dependency may be written: an IPv6 address also in brackets."""
TASK_TYPE, DEPENDENCY = "task_type", "dependency"
"""Scopes of the breakers that hold tasks."""

_NAME = re.compile(NAME_PATTERN)
_DEFAULT_PORTS = frozenset({"80", "443"})
"""Of HTTP; whichever of its two schemes: a name does not say it."""


def breakers_of(task_type: str, dependencies: Sequence[str]) -> tuple[str, ...]:
    """The breakers of a task, each ``<scope>:<name>``: its type's first."""
    own = f"{TASK_TYPE}:{task_type}"
    return (own, *(f"{DEPENDENCY}:{folded(name)}" for name in dependencies)) if dependencies else (own,)


def key_of(breaker: str) -> tuple[str, str]:
    """Scope and name of what ``breakers_of`` names."""
    scope, _, name = breaker.partition(":")
    return scope, name


def is_name(text: object) -> bool:
    """Whether a dependency may be called so."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


@lru_cache(maxsize=1024)
def folded(name: str) -> str:
    """The one name of a dependency: in small letters, without a default port of HTTP, the dot at the end of a host or
    the brackets of an IPv6 address, which is written as short as it can be. Folding again changes nothing.
    """
    text = name.lower()
    if text.startswith("[") and "]" in text:
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    host = host.rstrip(".")
    if ":" in host:
        try:
            short = ip_address(host).compressed
        except ValueError:
            # An address with its port, or a name of somebody's own.
            return host
        # A name begins with a letter or a digit.
        host = f"0{short}" if short.startswith(":") else short
    if port.isdecimal():
        port = port.lstrip("0") or "0"
    return f"{host}:{port}" if port and port not in _DEFAULT_PORTS else host


def named(text: object) -> str:
    """The name of a dependency as it was given, folded. Raises ``ValueError``."""
    name = folded(text) if isinstance(text, str) else ""
    if not is_name(name):
        raise ValueError(f"{text!r:.80} cannot be the name of a dependency: letters, digits and ._:@+- only")
    return name


def folded_key(scope: str, name: str) -> tuple[str, str]:
    """The key of a breaker: only dependencies have names that are folded."""
    return scope, folded(name) if scope == DEPENDENCY else name


def dependency_of_url(url: object) -> str | None:
    """The folded name of the host that a URL leads to, with its port; None for what leads nowhere."""
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        name = "" if host is None else host if host.isascii() else host.encode("idna").decode()
    except ValueError:
        return None
    if ":" in name:
        name = f"[{name}]"
    name = folded(name if port is None else f"{name}:{port}")
    return name if is_name(name) else None
