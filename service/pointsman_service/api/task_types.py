"""Look at task types, as the workers published them."""

import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_contract.catalogue import MAX_NAME, TaskTypeSpec
from pointsman_contract.retry import RetryPolicy
from pointsman_service.admit.routing import route
from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import known_parameters_only, storable
from pointsman_service.errors import DatabaseAway, FieldError, InvalidRequest, NotFound
from pointsman_service.settings import Settings
from pointsman_service.store.workers import catalogue

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
    "cut": [],
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
    cut: list[str] = Field(
        description="What is too long for a list: an `arguments_schema` of more than 16 KiB is left empty there, a"
        " `description` of more than 2,000 characters shortened. By name a task type is whole."
    )


class TaskTypeList(BaseModel):
    """A page of task types, by name."""

    items: list[TaskTypeView]
    next_cursor: str | None = Field(description="For `cursor=`; null on the last page.")


_MOST = 200
_LISTED_SCHEMA_BYTES = 16 * 1024
_LISTED_DESCRIPTION = 2000


@router.get(
    "/v1/task-types",
    operation_id="list_task_types",
    summary="List task types",
    description="What the workers published last; known also while no worker lives. Follow `next_cursor`.",
    response_model=TaskTypeList,
    responses=example({"items": [EXAMPLE_TASK_TYPE], "next_cursor": None}, "A page.")
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def list_task_types(
    parts: GivenParts,
    limit: Annotated[int, Query(ge=1, le=_MOST, description="Task types on a page.")] = _MOST,
    cursor: Annotated[str | None, Query(max_length=MAX_NAME, description="`next_cursor` of the page before.")] = None,
) -> Response:
    """A page of task types."""
    faults: list[FieldError] = []
    after = storable("cursor", cursor, faults) or ""
    if faults:
        raise InvalidRequest(errors=faults)
    async with parts.store.statement() as connection:
        found, following = await catalogue.page(connection, after, limit)
    views = [cut_for_list(task_type_view(parts.settings, spec, at)) for spec, at in found]
    return json_response({"items": views, "next_cursor": following})


@router.get(
    "/v1/task-types/{name:path}",
    operation_id="get_task_type",
    summary="Get a task type",
    response_model=TaskTypeView,
    responses=example(EXAMPLE_TASK_TYPE, "The task type.") | problem_responses(NotFound, InvalidRequest, DatabaseAway),
)
async def get_task_type(name: str, parts: GivenParts) -> Response:
    """One task type."""
    found = None
    if "\0" not in name:
        async with parts.store.statement() as connection:
            found = await catalogue.find(connection, name)
    if found is None:
        raise NotFound("No worker has published a task type of this name.")
    return json_response(task_type_view(parts.settings, *found))


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
        "cut": [],
    }


def cut_for_list(view: dict[str, Any]) -> dict[str, Any]:
    """The view of one among many: what its author may have made as long as he liked is left out, and named."""
    if len(json.dumps(view["arguments_schema"])) > _LISTED_SCHEMA_BYTES:
        view = view | {"arguments_schema": {}, "cut": [*view["cut"], "arguments_schema"]}
    if len(view["description"]) > _LISTED_DESCRIPTION:
        shortened = view["description"][:_LISTED_DESCRIPTION]
        view = view | {"description": shortened, "cut": [*view["cut"], "description"]}
    return view
