"""A moment as callers write it, in bodies and in query parameters alike."""

import re
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, Field
from pydantic_core import PydanticCustomError

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt _]")


def _only_text(value: object) -> object:
    # Pydantic takes a number, and text that is one, for Unix time: "2030" would be a moment long ago.
    if isinstance(value, str) and _DATE.match(value):
        return value
    raise PydanticCustomError("datetime_text", "must be an ISO 8601 date and time with an offset")


Moment = Annotated[AwareDatetime, BeforeValidator(_only_text), Field(strict=False)]
"""ISO 8601 text with a date, a time and an offset. Nothing else is: no number, no date alone, no local time."""
