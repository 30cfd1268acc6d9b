"""What Celery makes of an argument such as ``{"__type__": "datetime", "__value__": "2026-01-02"}``.

kombu, which opens every message, takes an object of these two names for a value that JSON does not know. One that it
cannot read makes the whole message unreadable, to every worker.
"""

from base64 import b64decode
from collections.abc import Callable
from datetime import datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

NAMES = frozenset({"__type__", "__value__"})

_READ: dict[str, Callable[[Any], Any]] = {
    "bytes": lambda value: value.encode(),
    "base64": lambda value: b64decode(value.encode()),
    "datetime": datetime.fromisoformat,
    "date": datetime.fromisoformat,
    "time": time.fromisoformat,
    "decimal": Decimal,
    "uuid": lambda value: UUID(**value),
}


def can_be_read(value: dict[str, Any]) -> bool:
    """Whether a worker can open a message with this object in its arguments."""
    if value.keys() != NAMES:
        return True
    read = _READ.get(value["__type__"]) if isinstance(value["__type__"], str) else None
    if read is None:
        return False
    try:
        read(value["__value__"])
    except (ValueError, TypeError, AttributeError, ArithmeticError):
        return False
    return True
