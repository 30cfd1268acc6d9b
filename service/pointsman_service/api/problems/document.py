"""An error as a problem document (RFC 9457): ``application/problem+json``, a stable ``type`` for each case."""

import math
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from pointsman_service.api.answers.predicted_wait import PredictedWaitView
from pointsman_service.errors import PointsmanError

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
    scope: str | None = Field(default=None, description="Only of `scope-missing`: the one that the key lacks.")
    prediction: PredictedWaitView | None = Field(
        default=None, description="Only of `backlog-full` and `sla-at-risk`: how long the task would have waited."
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
    if error.scope is not None:
        problem["scope"] = error.scope
    if error.prediction is not None:
        problem["prediction"] = error.prediction
    return problem


def problem_bytes(error: PointsmanError, instance: str | None = None) -> bytes:
    """``problem_of`` as JSON."""
    return to_json(problem_of(error, instance), inf_nan_mode="null")


def problem_headers(error: PointsmanError) -> dict[str, str]:
    """``Retry-After`` in whole seconds, rounded up, when it makes sense to try again; ``WWW-Authenticate`` where it is
    about who asks; ``RateLimit`` where it is about how much they may.
    """
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    if error.challenge is not None:
        headers["WWW-Authenticate"] = ", ".join(filter(None, ('Bearer realm="pointsman"', error.challenge)))
    if error.rate_limit is not None:
        headers["RateLimit-Policy"], headers["RateLimit"] = error.rate_limit
    return headers


def type_of(kind: type[PointsmanError]) -> str:
    """The ``type`` of a kind of problem."""
    return _TYPE_PREFIX + kind.code
