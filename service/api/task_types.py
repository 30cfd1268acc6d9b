"""Look at task types, as the workers published them."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, Response
from pydantic import AwareDatetime, BaseModel, Field

from contract.catalogue import TaskTypeSpec
from contract.retry import RetryPolicy
from service.admit.routing import route
from service.api.answers import example, json_response, known_parameters_only, moment
from service.api.parts import GivenParts, Parts
from service.api.problems import problem_responses
from service.errors import DatabaseAway, InvalidRequest, NotFound
from service.settings import Settings
from service.store import catalogue

router = APIRouter(tags=["task types"], dependencies=[Depends(known_parameters_only)])

EXAMPLE_TASK_TYPE: dict[str, Any] = {
    "name": "sleep",
    "description": "Sleep for some seconds.",
    "queue": "maintenance",
    "priority": 3,
    "time_limit_seconds": 300.0,
    "soft_time_limit_seconds": None,
    "max_attempts": 4,
    "retry": {"max_retries": 3, "interval_start": 0.0, "interval_step": 2.0, "interval_max": 10.0, "jitter": True},
    "dependencies": [],
    "url_argument": None,
    "fail_fast": False,
    "positional": ["seconds"],
    "arguments_schema": {
        "type": "object",
        "properties": {"seconds": {"type": "number"}},
        "required": ["seconds"],
        "additionalProperties": False,
    },
    "last_published_at": "2026-11-22T08:00:02Z",
}


class TaskTypeView(BaseModel):
    """One task type."""

    name: str
    description: str
    queue: str = Field(description="Where it goes unless the submission says otherwise.")
    priority: int = Field(description="What it gets unless the submission says otherwise.")
    time_limit_seconds: float = Field(description="Of one attempt, unless the submission says otherwise.")
    soft_time_limit_seconds: float | None
    max_attempts: int = Field(description="Unless the submission says otherwise.")
    retry: RetryPolicy = Field(
        description="The delay before retry n is `min(interval_max, interval_start + interval_step * 2**(n-1))`"
        " seconds, drawn from zero to that with `jitter`, unless the task itself says when."
    )
    dependencies: list[str] = Field(description="What every task of this type depends on.")
    url_argument: str | None = Field(description="The argument with a URL, whose host is a dependency.")
    fail_fast: bool = Field(description="Whether it fails at once while a circuit breaker would hold it.")
    positional: list[str] = Field(description="What positional arguments are called, in order.")
    arguments_schema: dict[str, Any] = Field(description="JSON Schema of the named arguments.")
    last_published_at: AwareDatetime


class TaskTypeList(BaseModel):
    """Every task type, by name."""

    items: list[TaskTypeView]
    next_cursor: None = None


@router.get(
    "/v1/task-types",
    operation_id="list_task_types",
    summary="List task types",
    description="What the workers published last; known also while no worker lives.",
    response_model=TaskTypeList,
    responses=example({"items": [EXAMPLE_TASK_TYPE], "next_cursor": None}, "Every task type.")
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def list_task_types(parts: GivenParts) -> Response:
    """Every task type."""
    views = [task_type_view(parts.settings, spec, at) for spec, at in await _newest(parts)]
    return json_response({"items": views, "next_cursor": None})


@router.get(
    "/v1/task-types/{name:path}",
    operation_id="get_task_type",
    summary="Get a task type",
    response_model=TaskTypeView,
    responses=example(EXAMPLE_TASK_TYPE, "The task type.") | problem_responses(NotFound, InvalidRequest, DatabaseAway),
)
async def get_task_type(name: str, parts: GivenParts) -> Response:
    """One task type."""
    for spec, at in await _newest(parts):
        if spec.name == name:
            return json_response(task_type_view(parts.settings, spec, at))
    raise NotFound("No worker has published a task type of this name.")


def task_type_view(settings: Settings, spec: TaskTypeSpec, last_published_at: datetime) -> dict[str, Any]:
    """The fields of ``TaskTypeView``, with queue and priority as a bare submission would get them."""
    queue, priority = route(settings, spec, None, None)
    return {
        "name": spec.name,
        "description": spec.description,
        "queue": queue.name,
        "priority": priority,
        "time_limit_seconds": spec.time_limit_seconds,
        "soft_time_limit_seconds": spec.soft_time_limit_seconds,
        "max_attempts": spec.retry.max_attempts,
        "retry": spec.retry.model_dump(mode="json"),
        "dependencies": list(spec.dependencies),
        "url_argument": spec.url_argument,
        "fail_fast": spec.fail_fast,
        "positional": list(spec.positional),
        "arguments_schema": spec.arguments_schema,
        "last_published_at": moment(last_published_at),
    }


async def _newest(parts: Parts) -> list[tuple[TaskTypeSpec, datetime]]:
    async with parts.store.statement() as connection:
        return await catalogue.newest(connection)
