"""Headers that several operations read: the key of a call that may be repeated, and the trace that it belongs to."""

import re
from typing import Any

from pointsman_service.admit.keys import KEY_RULE, key_of
from pointsman_service.api.bodies.header_fields import fields_given_once
from pointsman_service.errors import BadRequest

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def read_headers(scope: Any) -> tuple[str | None, str | None]:
    """The Idempotency-Key and the traceparent. Raises ``BadRequest`` for a key that is none, and for two of them."""
    fields = fields_given_once(scope)
    if fields is not None:
        given, trace = fields.get(b"idempotency-key"), fields.get(b"traceparent")
        return None if given is None else _key(given), None if trace is None else _traceparent(trace)
    key = traceparent = None
    for name, value in scope["headers"]:
        if name == b"idempotency-key":
            if key is not None:
                raise BadRequest("Idempotency-Key is given more than once.")
            key = _key(value)
        elif name == b"traceparent":
            traceparent = _traceparent(value)
    return key, traceparent


def _traceparent(value: bytes) -> str | None:
    text = value.decode("latin-1").strip()
    return text if _TRACEPARENT.fullmatch(text) else None


def _key(value: bytes) -> str:
    try:
        return key_of(value.decode().strip("\t"))
    except ValueError:
        raise BadRequest(f"Idempotency-Key {KEY_RULE}, in UTF-8.") from None
