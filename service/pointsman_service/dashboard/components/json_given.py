"""JSON that somebody has typed."""

from typing import Any

from pydantic_core import from_json

from pointsman_service.admit.carrying import uncarried
from pointsman_service.api.bodies.body import parse_json
from pointsman_service.errors import InvalidRequest


def json_given(text: str, most_deep: int) -> Any:
    """Its value, read as a body of the API is. Raises ``ValueError`` with what is wrong, in words."""
    body = text.strip().encode()
    try:
        # What is no JSON is told by line and column of what was typed.
        from_json(body, allow_inf_nan=False)
    except ValueError as error:
        if "recursion limit" not in str(error):
            raise ValueError(f"this is no JSON: {error}") from error
    try:
        value = parse_json(body, most_deep)
    except InvalidRequest as error:
        raise ValueError(_told(error)) from error
    if faults := uncarried(value):
        raise ValueError(_told(InvalidRequest(errors=faults)))
    return value


def _told(error: InvalidRequest) -> str:
    return "; ".join(
        f"at {fault['pointer'].removeprefix('/')}: {fault['detail']}" if fault["pointer"] else fault["detail"]
        for fault in error.errors
    )
