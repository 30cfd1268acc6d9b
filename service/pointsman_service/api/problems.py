"""Every error as a problem document (RFC 9457): ``application/problem+json``, a stable ``type`` for each case."""

import math
from collections.abc import Iterator
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from pointsman_contract.catalogue import pointer
from pointsman_service.errors import (
    FAULTS_SHOWN,
    BadRequest,
    BodyTooLarge,
    BrokerSilent,
    DatabaseAway,
    DatabaseDiffers,
    FieldError,
    InvalidRequest,
    MalformedJson,
    MethodNotAllowed,
    NotFound,
    PointsmanError,
    Unavailable,
    UnsupportedMediaType,
)
from pointsman_service.loops import ExpectedFault
from pointsman_service.redis import BrokerAway
from pointsman_service.store.store import ConnectionLost, DatabaseTrouble, LockNotGot, StatementRefused

MEDIA_TYPE: Final = "application/problem+json"
SCHEMA_NAME: Final = "Problem"
_TYPE_PREFIX = "urn:pointsman:problem:"


class FieldFault(BaseModel):
    """One fault of one field."""

    pointer: str = Field(
        description="JSON pointer (RFC 6901) into the body; /query/<name> and /header/<name> for parameters."
    )
    detail: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(json_schema_extra={"required": ["type", "title", "status", "detail"]})

    type: str = Field(description="A stable URI for each case.")
    title: str = Field(description="The case in words.")
    status: int
    detail: str = Field(description="What is wrong this time, and what to do.")
    instance: str | None = Field(default=None, description="The path that was asked for.")
    errors: list[FieldFault] | None = Field(default=None, description="Only where fields are at fault.")
    task_id: str | None = Field(
        default=None,
        description="The task that may have been stored, that this one became, or that the key stands for.",
    )


def problem_of(error: PointsmanError, instance: str | None = None) -> dict[str, Any]:
    """The problem document of an error. ``instance`` is the path that was asked for."""
    problem: dict[str, Any] = {
        "type": type_of(type(error)),
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
    }
    if instance is not None:
        problem["instance"] = instance
    if error.errors:
        problem["errors"] = error.errors
    if error.task_id is not None:
        problem["task_id"] = error.task_id
    return problem


def problem_bytes(error: PointsmanError, instance: str | None = None) -> bytes:
    """``problem_of`` as JSON."""
    return to_json(problem_of(error, instance), inf_nan_mode="null")


def problem_headers(error: PointsmanError) -> dict[str, str]:
    """``Retry-After`` in whole seconds, rounded up, when it makes sense to try again."""
    if error.retry_after_seconds is None:
        return {}
    return {"Retry-After": str(max(1, math.ceil(error.retry_after_seconds)))}


def type_of(kind: type[PointsmanError]) -> str:
    """The ``type`` of a kind of problem."""
    return _TYPE_PREFIX + kind.code


def as_error(error: Exception) -> PointsmanError:
    """An exception of any kind in our words. Nothing of an unexpected one is told."""
    if isinstance(error, PointsmanError):
        return error
    if isinstance(error, RequestValidationError):
        return _of_validation(error)
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, ConnectionLost | DatabaseTrouble | LockNotGot):
        return DatabaseAway("The database cannot answer this now. Try again.")
    if isinstance(error, StatementRefused):
        return DatabaseDiffers()
    if isinstance(error, BrokerAway):
        return BrokerSilent()
    if isinstance(error, ExpectedFault):
        return Unavailable()
    return PointsmanError("Something went wrong here; it was logged.")


def _of_validation(error: RequestValidationError) -> PointsmanError:
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return MalformedJson()
    return InvalidRequest(errors=list(_field_errors(faults)))


def _field_errors(faults: Any) -> Iterator[FieldError]:
    for fault in list(faults)[:FAULTS_SHOWN]:
        place, *path = fault["loc"]
        yield FieldError(pointer=pointer(*path) if place == "body" else pointer(place, *path), detail=fault["msg"])


_BY_STATUS: dict[int, type[PointsmanError]] = {
    kind.status: kind
    for kind in (BadRequest, NotFound, MethodNotAllowed, BodyTooLarge, UnsupportedMediaType, InvalidRequest)
}


def _of_http(error: HTTPException) -> PointsmanError:
    """Starlette's own refusals: no such path, no such method, an unreadable or too large body."""
    kind = _BY_STATUS.get(error.status_code)
    if kind is None:
        kind = Unavailable if error.status_code == Unavailable.status else PointsmanError
    if kind is NotFound:
        return NotFound("There is nothing at this path; GET /docs shows what there is.")
    return kind()


def problem_responses(*cases: type[PointsmanError] | int) -> dict[int | str, dict[str, Any]]:
    """For ``responses=`` of an operation: every problem it can answer with, by status, each with an example.

    A bare status stands for every kind of problem that has it.
    """
    found: dict[int | str, dict[str, Any]] = {}
    kinds = [kind for case in cases for kind in (_kinds_of(case) if isinstance(case, int) else [case])]
    for kind in kinds:
        response = found.setdefault(
            kind.status,
            {
                "description": kind.title,
                "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{SCHEMA_NAME}"}, "examples": {}}},
            },
        )
        if kind.title not in response["description"]:
            response["description"] += f"; {kind.title[0].lower()}{kind.title[1:]}"
        response["content"][MEDIA_TYPE]["examples"][kind.code] = {"summary": kind.title, "value": _example(kind)}
        if issubclass(kind, Unavailable):
            response["headers"] = {
                "Retry-After": {"description": "Seconds to wait before trying again.", "schema": {"type": "integer"}}
            }
    return found


def _kinds_of(status: int, root: type[PointsmanError] = PointsmanError) -> list[type[PointsmanError]]:
    own = [root] if root.status == status else []
    return own + [kind for child in root.__subclasses__() for kind in _kinds_of(status, child)]


def _example(kind: type[PointsmanError]) -> dict[str, Any]:
    errors = [_FAULTS[kind.code]] if kind.code in _FAULTS else None
    return problem_of(kind(errors=errors), "/v1/tasks")


_FAULTS = {
    "invalid-request": FieldError(pointer="/query/limit", detail="Input should be a valid integer"),
    "unknown-task-type": FieldError(pointer="/task_type", detail="unknown task type"),
    "invalid-arguments": FieldError(pointer="/kwargs/seconds", detail='"ten" is not of type "number"'),
    "unknown-queue": FieldError(pointer="/queue", detail="must be one of critical, maintenance"),
}
