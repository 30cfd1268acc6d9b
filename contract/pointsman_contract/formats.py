"""What the ``format`` of an argument's JSON Schema admits: what the worker can build from that text.

JSON Schema leaves ``format`` to whoever checks. A worker builds its values with pydantic, which also takes what RFC
3339 does not write (no offset, a space for the T, ``PT0.5S``): that is admitted. A number in a string is not, though
pydantic takes it for seconds since 1970: ``"2030"`` would be half an hour after midnight.
"""

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Any, Literal
from uuid import UUID

from pydantic import (
    AnyUrl,
    Base64Bytes,
    Base64UrlBytes,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    Json,
    TypeAdapter,
)
from pydantic_core import SchemaValidator, core_schema

# Nothing is given back: a text of digits that is no number would be tried in every way there is to part it. The
# exponent, which cannot be parted, may be: Python 3.11.4 and older match possessive groups wrongly (CPython issue
# 106052).
_NUMBER = re.compile(r"\s*+[+-]?+(\d++\.?+\d*+|\.\d++)([eE][+-]?+\d++)?\s*+")
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\"]+@[\w-]+(\.[\w-]+)*")


def _built(kind: Any) -> Callable[[str], bool]:
    return _valid(TypeAdapter(kind).validator)


def _valid(validator: Any) -> Callable[[str], bool]:
    def admits(text: str) -> bool:
        try:
            validator.validate_python(text)
        except (ValueError, RecursionError, OverflowError):
            return False
        return True

    return admits


_Version = Literal[1, 3, 4, 5, 6, 7, 8]
_VERSIONS: tuple[_Version, ...] = (1, 3, 4, 5, 6, 7, 8)


def _uuid(version: _Version) -> Callable[[str], bool]:
    return _valid(SchemaValidator(core_schema.uuid_schema(version=version)))


def _moment(kind: Any) -> Callable[[str], bool]:
    built = _built(kind)
    return lambda text: _NUMBER.fullmatch(text) is None and built(text)


FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": _moment(datetime),
    "date": _moment(date),
    "time": _moment(time),
    "duration": _moment(timedelta),
    "uuid": _built(UUID),
    **{f"uuid{version}": _uuid(version) for version in _VERSIONS},
    "uri": _built(AnyUrl),
    "multi-host-uri": _valid(SchemaValidator(core_schema.multi_host_url_schema())),
    "ipvanyaddress": _built(IPvAnyAddress),
    "ipvanyinterface": _built(IPvAnyInterface),
    "ipvanynetwork": _built(IPvAnyNetwork),
    "ipv4network": _built(IPv4Network),
    "ipv4interface": _built(IPv4Interface),
    "ipv6network": _built(IPv6Network),
    "ipv6interface": _built(IPv6Interface),
    "base64": _built(Base64Bytes),
    "base64url": _built(Base64UrlBytes),
    "decimal": _built(Decimal),
    "json-string": _built(Json),
    "regex": _built(re.Pattern),
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
}
"""For a JSON Schema validator: each format as a predicate. Formats that are not here are the validator's own."""
