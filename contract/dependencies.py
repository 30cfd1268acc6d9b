"""Which circuit breakers a task belongs to: that of its task type, and one for each thing it depends on."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

MOST = 10
"""Dependencies of one task."""
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:@+\-]{0,199}$"
"""What a dependency may be called."""
TASK_TYPE, DEPENDENCY = "task_type", "dependency"
"""Scopes of the breakers that hold tasks."""

_NAME = re.compile(NAME_PATTERN)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def breakers_of(task_type: str, dependencies: Sequence[str]) -> tuple[str, ...]:
    """The breakers of a task, each ``<scope>:<name>``: its type's first."""
    own = f"{TASK_TYPE}:{task_type}"
    return (own, *(f"{DEPENDENCY}:{name}" for name in dependencies)) if dependencies else (own,)


def key_of(breaker: str) -> tuple[str, str]:
    """Scope and name of what ``breakers_of`` names."""
    scope, _, name = breaker.partition(":")
    return scope, name


def is_name(text: object) -> bool:
    """Whether a dependency may be called so."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def dependency_of_url(url: object) -> str | None:
    """The host that a URL leads to, with its port unless it is the default one; None for what leads nowhere."""
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        name = "" if host is None else host if host.isascii() else host.encode("idna").decode()
    except ValueError:
        return None
    if port is not None and port != _DEFAULT_PORTS.get(parts.scheme):
        name = f"{name}:{port}"
    return name if is_name(name) else None
