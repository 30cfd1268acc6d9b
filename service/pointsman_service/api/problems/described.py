"""The problems an operation can answer with, for its document."""

from typing import Any, Final

from pointsman_service.api.problems.document import MEDIA_TYPE, SCHEMA_NAME, problem_of
from pointsman_service.errors import FieldError, PointsmanError, RateExceeded, Unavailable

RATE_HEADERS: Final[dict[str, Any]] = {
    "RateLimit-Policy": {
        "description": "How fast the caller may submit, where that is limited: `q` tasks in `w` seconds.",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "How many tasks it may submit at once now (`r`), and in how many seconds all of them (`t`).",
        "schema": {"type": "string"},
    },
}
RETRY_AFTER_HEADER: Final[dict[str, Any]] = {
    "Retry-After": {"description": "Seconds to wait before trying again.", "schema": {"type": "integer"}}
}


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
        if issubclass(kind, Unavailable | RateExceeded):
            response["headers"] = dict(RETRY_AFTER_HEADER)
        if issubclass(kind, RateExceeded):
            response["headers"] |= RATE_HEADERS
    return found


def every_problem() -> list[dict[str, Any]]:
    """Each ``type`` that a problem document may have, by name, with its title, its status and its usual detail: those
    that any call may meet, too, which stand at no operation with an example.
    """
    kinds = sorted(_all_kinds(PointsmanError), key=lambda kind: kind.code)
    return [problem_of(kind()) for kind in kinds]


def _kinds_of(status: int) -> list[type[PointsmanError]]:
    return [kind for kind in _all_kinds(PointsmanError) if kind.status == status]


def _all_kinds(root: type[PointsmanError]) -> list[type[PointsmanError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in _all_kinds(child))]


def _example(kind: type[PointsmanError]) -> dict[str, Any]:
    errors = [_FAULTS[kind.code]] if kind.code in _FAULTS else None
    return problem_of(kind(errors=errors), "/v1/tasks")


_FAULTS = {
    "invalid-request": FieldError(pointer="/query/limit", detail="Input should be a valid integer"),
    "unknown-task-type": FieldError(pointer="/task_type", detail="unknown task type"),
    "invalid-arguments": FieldError(pointer="/kwargs/seconds", detail='"ten" is not of type "number"'),
    "unknown-queue": FieldError(pointer="/queue", detail="must be one of critical, maintenance"),
}
