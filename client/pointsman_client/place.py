"""Where the API is, and the key it is asked with."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pointsman_client.errors import NoSuchPlace

LOCAL = "http://127.0.0.1:8000"
"""Where nothing says another."""
_DATA_DIR = ".pointsman"


@dataclass(frozen=True, slots=True)
class Place:
    """An API. Raises ``NoSuchPlace``, which quotes neither, for an address or a key that no request could carry."""

    url: str
    """``http://`` or ``https://``, a host, and a port where it is not the usual one; a path where a proxy puts one."""
    key: str | None = field(default=None, repr=False)
    """Goes into a header of every request and nowhere else."""

    def __post_init__(self) -> None:
        """Check both."""
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError:
            raise NoSuchPlace("the host and port of the address cannot be read") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise NoSuchPlace(f"the address must look like {LOCAL}")
        if parts.username is not None or parts.password is not None:
            raise NoSuchPlace("the address must hold no account: a key goes into POINTSMAN_API_KEY")
        if parts.query or parts.fragment:
            raise NoSuchPlace("the address must end before any ? or #")
        if not self.url.isascii() or not self.url.isprintable() or " " in self.url:
            raise NoSuchPlace("the address must be of plain printable characters")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable() and " " not in self.key):
            raise NoSuchPlace("POINTSMAN_API_KEY holds something that is no key")


def find_place(url: str | None = None, environment: Mapping[str, str] = os.environ, *, key: str | None = None) -> Place:
    """The API that was asked for: ``url``, else ``POINTSMAN_URL``, else that of a running ``./scripts/up`` in whose
    checkout this is, else port 8000 of this machine. The key is ``key``, else ``POINTSMAN_API_KEY``. Raises
    ``NoSuchPlace``.
    """
    found = url or environment.get("POINTSMAN_URL") or _running_here(environment) or LOCAL
    return Place(found.rstrip("/"), key or environment.get("POINTSMAN_API_KEY") or None)


def _running_here(environment: Mapping[str, str]) -> str | None:
    """As ``run.json`` says, unless who wrote it is gone. It holds passwords, too: nothing else of it is looked at."""
    directory = Path(environment.get("POINTSMAN_DATA_DIR") or _DATA_DIR)
    try:
        found = json.loads((directory / "run.json").read_bytes())
        url, pid = found["api_url"], found["supervisor_pid"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return url if isinstance(url, str) and isinstance(pid, int) and _is_alive(pid) else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
