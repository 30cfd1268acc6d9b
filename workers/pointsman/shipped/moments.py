"""Moments as task arguments."""

from typing import Annotated

from pydantic import AwareDatetime, WithJsonSchema

Moment = Annotated[
    AwareDatetime,
    WithJsonSchema(
        {"type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d.*(Z|[+-]\d\d:\d\d)$"}
    ),
]
"""ISO 8601 with an offset. The pattern lets a submission be refused: JSON Schema checks no formats by itself."""
