"""Numbers as JSON Schema has them: ``5.0`` is an integer."""

from pydantic import BeforeValidator


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Makes of an integer one that may be written with a fraction of zero, as some languages do. Bounds stand before it, or
they are missing in the schema.
"""
