"""Examples in the OpenAPI document, with the nulls that FastAPI would leave out of it."""

from typing import Any

_NULL = "\u2400"
"""Stands for null in examples: FastAPI leaves every null out of the document."""


def example(value: object, description: str, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """For ``responses=`` of an operation: what it answers when all is well."""
    return {status: {"description": description, "content": {"application/json": {"example": with_nulls(value)}}}}


def with_nulls(value: Any) -> Any:
    """An example whose nulls survive until ``restore_nulls``."""
    return _replaced(value, None, _NULL)


def restore_nulls(value: Any) -> Any:
    """The document with the nulls of its examples."""
    return _replaced(value, _NULL, None)


def _replaced(value: Any, old: str | None, new: str | None) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    return new if value == old else value
