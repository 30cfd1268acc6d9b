"""JSON that somebody has typed."""

from typing import Any

from pydantic_core import from_json


def json_given(text: str, most_deep: int) -> Any:
    """Its value. Raises ``ValueError`` with what is wrong, in words."""
    try:
        value = from_json(text.strip(), allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"this is no JSON: {error}") from error
    if _is_deeper(value, most_deep):
        raise ValueError("is nested too deep")
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return False
    return depth == 0 or any(_is_deeper(one, depth - 1) for one in value)
