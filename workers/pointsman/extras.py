"""What this package does only where an extra of its distribution is installed: ``pip install 'pointsman[http]'``."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec

from pointsman.errors import WorkerError

_PACKAGES = {
    "api": "pointsman_client",
    "encryption": "cryptography",
    "http": "httpx",
    "mqtt": "paho",
    "otel": "opentelemetry.sdk",
    "reports": "pointsman_client",
    "testing": "jsonschema_rs",
}
"""The package that an extra brings."""


class ExtraMissing(ImportError, WorkerError):
    """Something needs an extra that is not installed here."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs what is not installed here: pip install 'pointsman[{extra}]'")


def has(extra: str) -> bool:
    """Whether an extra is installed. Loads nothing."""
    try:
        return find_spec(_PACKAGES[extra]) is not None
    except ModuleNotFoundError:
        # Of a package within one that is not there.
        return False


def require(what: str, extra: str) -> None:
    """Raises ``ExtraMissing`` when ``what`` cannot work for want of an extra."""
    if not has(extra):
        raise ExtraMissing(what, extra)


def without_extra(needed: Mapping[str, str | None]) -> dict[str, str]:
    """The modules that cannot be imported here, each with the extra it needs."""
    return {module: extra for module, extra in needed.items() if extra is not None and not has(extra)}


def named(extras: Iterable[str]) -> str:
    """What to install for these extras, in pip's words."""
    return f"pointsman[{','.join(sorted(set(extras)))}]"
