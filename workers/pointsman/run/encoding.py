"""What a body hands over (its result, what a step leaves, the meta of its progress) as JSON that any reader takes.

Plain Celery wraps what JSON has no word for, as ``{"__type__": "datetime", "__value__": …}``. Readers of the API need
not be Python: here it is written as pydantic writes it.
"""

import json
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from kombu.utils.json import JSONEncoder
from pydantic import BaseModel

_kombu = JSONEncoder()


def plain(value: Any) -> Any:
    """For what is not JSON: dates and times in ISO 8601, a ``Decimal`` and a ``UUID`` as text, ``bytes`` as UTF-8.

    Models become objects. Anything else, bytes that are no UTF-8 among it, is written as Celery writes it: what has
    ``__json__``, and types registered with kombu. Raises ``TypeError`` for what Celery cannot write either.
    """
    if isinstance(value, BaseModel):
        try:
            return value.model_dump(mode="json")
        except ValueError:
            return value.model_dump()
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return _kombu.default(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain)


def encode(value: Any) -> str:
    """JSON text. Raises ``TypeError``, ``ValueError`` or ``RecursionError`` for what JSON cannot hold."""
    return _ENCODER.encode(value)
