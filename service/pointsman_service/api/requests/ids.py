"""Ids in paths and parameters: as the API writes them, in small letters or large. Python reads other spellings too."""

from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError


def id_of(text: str) -> UUID | None:
    """The id that is written so; None for what is none, such as ``urn:uuid:…``."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None


def _id_of(text: object) -> UUID:
    found = id_of(text) if isinstance(text, str) else None
    if found is None:
        raise PydanticCustomError("id", "must be an id, as the API writes it")
    return found


Id = Annotated[UUID, BeforeValidator(_id_of)]
"""An id that the API has told."""

Cursor = Annotated[Id | None, Query(description="`next_cursor` of the page before.")]
"""Where a page of a list begins whose rows are told apart by their ids."""
