"""How whoever asks addresses us."""

from collections.abc import Mapping
from typing import Any

from pointsman_service.settings import Settings


def is_secure(scope: Any) -> bool:
    """Whether they came over TLS, as a proxy before us says."""
    return scope.get("scheme") == "https" or says_tls(dict(scope["headers"]))


def says_tls(fields: Mapping[bytes, bytes]) -> bool:
    """Whether a proxy before us says so in these header fields."""
    return _first(fields, b"x-forwarded-proto").lower() == b"https"


def origin_of(scope: Any, settings: Settings) -> str:
    """Scheme and host, and what a proxy has before our paths where ``alert_base_url`` tells that. ``Host`` was found to
    be a name of ours.
    """
    own = f"{'https' if is_secure(scope) else 'http'}://{said(scope, b'host').decode('latin-1')}"
    known = (settings.alert_base_url or "").rstrip("/")
    return known if known == own or known.startswith(f"{own}/") else own


def said(scope: Any, name: bytes) -> bytes:
    """The first value of a header field."""
    return _first(dict(scope["headers"]), name)


def _first(fields: Mapping[bytes, bytes], name: bytes) -> bytes:
    return fields.get(name, b"").partition(b",")[0].strip()
