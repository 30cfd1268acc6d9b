"""The JSON body of an operator's action: small, checked whole, and optional where every field has a default."""

from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from pointsman_contract.log_text import says_something
from pointsman_service.admit.carrying import uncarried
from pointsman_service.admit.keys import KEY_PATTERN, LONGEST_KEY
from pointsman_service.admit.submission import field_errors, known_fields_only
from pointsman_service.api.bodies.body import parse_json, read_body
from pointsman_service.api.documentation.schemas import schema_of
from pointsman_service.api.parts import parts_of
from pointsman_service.api.requests.rights import check_body
from pointsman_service.errors import FieldError, InvalidRequest


class Action(BaseModel):
    """What an operator says beside the path. A field that is not listed is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _said(text: str) -> str:
    if not says_something(text):
        raise PydanticCustomError("blank", "must say something")
    return text


_UNSEEN = (
    r"\x00-\x20\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2"
    r"\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ufeff\ufff9-\ufffb"
)
"""Spaces, control and format characters, but for those past U+FFFF, which not every reader of a pattern knows."""
_SAID = {"pattern": rf"^[^\x00]*[^{_UNSEEN}][^\x00]*$"}
Reason = Annotated[str, Field(min_length=1, max_length=500, json_schema_extra=_SAID), AfterValidator(_said)]
Name = Annotated[str, Field(min_length=1, max_length=200, json_schema_extra=_SAID), AfterValidator(_said)]
"""Of who does something, in their own words."""


class Explained(Action):
    """Why, if anybody wants to know."""

    reason: Reason | None = Field(default=None, description="Why, for the log.")


Given = TypeVar("Given", bound=BaseModel)


async def given(request: Request, kind: type[Given], *, required: bool = False) -> Given:
    """The checked body; without one, the defaults, unless it is ``required``. Raises ``InvalidRequest``, or what
    ``read_body`` and ``parse_json`` raise.
    """
    parts = parts_of(request)
    settings = parts.settings
    headers = request.headers
    body = b""
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        body = await read_body(dict(request.scope), request.receive, parts.room)
    if required and not body.strip():
        raise InvalidRequest(errors=[FieldError(pointer="", detail="there must be a body; {} means every default")])
    value = parse_json(body, settings.json_depth) if body else {}
    check_body(request.scope, value)
    known_fields_only(kind, value)
    # A model that other callers give looser values to, such as settings, is strict here too. For one that is strict by
    # itself the word would overrule those of its fields that are not.
    strict = None if kind.model_config.get("strict") else True
    try:
        found = kind.model_validate(value, strict=strict)
    except ValidationError as error:
        raise InvalidRequest(errors=list(field_errors(error))) from None
    faults = uncarried(value)
    if faults:
        raise InvalidRequest(errors=faults)
    return found


def request_body(model: type[BaseModel], example: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    """The OpenAPI of a body that the route reads by itself."""
    content = {"application/json": {"schema": schema_of(model), "example": example}}
    return {"requestBody": {"required": required, "content": content}}


def idempotency_key() -> dict[str, Any]:
    """The OpenAPI of the header."""
    return {
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": (
                    f"Up to {LONGEST_KEY} characters in UTF-8, bare or in quotes, remembered for 24 hours. Submissions,"
                    " retries, replays and acts by a filter have keys of their own."
                ),
                "schema": {"type": "string", "minLength": 1, "pattern": KEY_PATTERN},
            }
        ]
    }
