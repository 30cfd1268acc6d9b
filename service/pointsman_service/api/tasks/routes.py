"""Look at tasks."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from pointsman_contract.states import TaskState
from pointsman_service.admit.moments import Moment
from pointsman_service.api.answers.answer import json_response
from pointsman_service.api.answers.predicted_wait import predicted_wait
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.problems.translation import in_time
from pointsman_service.api.requests.filters import TAG_PATTERN, readings_of_tags, refuse_unknown
from pointsman_service.api.requests.ids import Id, id_of
from pointsman_service.api.requests.parameters import bounded, known_parameters_only, storable
from pointsman_service.api.tasks.view import EXAMPLE_TASK, TaskView, task_view
from pointsman_service.errors import DatabaseAway, FieldError, InvalidRequest, TooManyReaders, Unavailable, UnknownTask
from pointsman_service.observe.prediction.prediction import Prediction, Reason
from pointsman_service.store.queues import ahead
from pointsman_service.store.queues.holding import BY_BREAKER
from pointsman_service.store.queues.unserved import UNKNOWN_TASK_TYPE
from pointsman_service.store.tasks import reading
from pointsman_service.store.tasks.reading import TaskFilter

router = APIRouter(tags=["tasks"], dependencies=[Depends(known_parameters_only)])

MOST = 200
_CURSOR_PATTERN = "^[A-Za-z0-9_-]{21}[AQgw]$"
"""Sixteen bytes in Base64."""


class TaskList(BaseModel):
    """A page of tasks, newest first."""

    items: list[TaskView]
    next_cursor: str | None = Field(description="For `cursor=`; null on the last page.")


@router.get(
    "/v1/tasks/{task_id}",
    operation_id="get_task",
    summary="Get a task",
    description="A task that is answered 202 is found here from then on, until its retention ends.",
    response_model=TaskView,
    responses=example(EXAMPLE_TASK, "The task.") | problem_responses(UnknownTask, InvalidRequest, DatabaseAway),
)
async def get_task(task_id: str, parts: GivenParts) -> Response:
    """One task."""
    row = await find_task(parts, task_id)
    said = await _remaining_wait(parts, row)
    return json_response(task_view(row) | {"predicted_wait": None if said is None else predicted_wait(said)})


async def _remaining_wait(parts: GivenParts, row: Mapping[str, Any]) -> Prediction | None:
    """From now on; None of a task that does not wait, or is not due."""
    if row["state"] == TaskState.HELD:
        is_by_breaker = (row["held_reason"] or "").startswith(BY_BREAKER)
        is_unknown = row["held_reason"] == UNKNOWN_TASK_TYPE
        return Prediction.unsaid(
            Reason.BREAKER_OPEN if is_by_breaker else Reason.NO_WORKER if is_unknown else Reason.NOT_KNOWN
        )
    if row["state"] != TaskState.QUEUED:
        return None
    async with parts.store.statement() as connection:
        before = await ahead.ahead_of(connection, str(row["id"]))
    return None if before is None else parts.views.predictions.remaining(row["queue"], row["priority"], before)


@router.get(
    "/v1/tasks",
    operation_id="list_tasks",
    summary="List tasks",
    description='Newest first. Follow `next_cursor`, or the `Link` header with `rel="next"`.'
    " What is too long for a list is named in `cut`, and whole only by id.",
    response_model=TaskList,
    responses=example({"items": [EXAMPLE_TASK], "next_cursor": "AaICccgRcaWZwFEP3iKlfQ"}, "A page.")
    | problem_responses(InvalidRequest, DatabaseAway, TooManyReaders, Unavailable),
)
async def list_tasks(
    request: Request,
    parts: GivenParts,
    state: Annotated[TaskState | None, Query(description="Only tasks in this state.")] = None,
    queue: Annotated[str | None, Query(max_length=63, description="Only tasks of this queue.")] = None,
    task_type: Annotated[str | None, Query(max_length=200, description="Only tasks of this type.")] = None,
    error_type: Annotated[
        str | None, Query(max_length=300, description="Only ended tasks whose last attempt failed with this error.")
    ] = None,
    error_group: Annotated[
        Id | None, Query(description="Only ended tasks whose last attempt failed with an error of this group.")
    ] = None,
    replayed: Annotated[
        bool | None, Query(description="True: only ended tasks that were run again as another; false: none of them.")
    ] = None,
    tag: Annotated[
        list[Annotated[str, Field(json_schema_extra={"pattern": TAG_PATTERN})]] | None,
        Query(
            max_length=20,
            description="`name:value`, either with colons of its own or without; given more than once, all must match.",
        ),
    ] = None,
    submitted_after: Annotated[Moment | None, Query(description="Submitted at this moment or later.")] = None,
    submitted_before: Annotated[Moment | None, Query(description="Submitted before this moment.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Tasks on a page.")] = 50,
    cursor: Annotated[
        str | None,
        Query(description="`next_cursor` of the page before.", json_schema_extra={"pattern": _CURSOR_PATTERN}),
    ] = None,
) -> Response:
    """A page of tasks."""
    faults: list[FieldError] = []
    wanted = TaskFilter(
        state=state,
        queue=storable("queue", queue, faults),
        task_type=storable("task_type", task_type, faults),
        error_type=storable("error_type", error_type, faults),
        error_group=error_group,
        replayed=replayed,
        tags=readings_of_tags(tag or [], faults),
        submitted_after=bounded(submitted_after),
        submitted_before=bounded(submitted_before),
        below=_below(cursor, faults),
    )
    if faults:
        raise InvalidRequest(errors=faults)
    async with parts.pages.place():
        async with in_time("narrow it, best by submitted_after"), parts.store.statement() as connection:
            rows = await reading.tasks(connection, wanted, limit + 1)
        if not rows and cursor is None:
            await refuse_unknown(parts, queue=queue, task_type=task_type)
        return _page(request, rows, limit)


def task_id_of(text: str) -> UUID:
    """The id in a path. Raises ``UnknownTask`` for what is no id."""
    found = id_of(text)
    if found is None:
        raise UnknownTask
    return found


async def find_task(parts: GivenParts, task_id: str) -> Mapping[str, Any]:
    """The row of a task. Raises ``UnknownTask``, also for what is no id."""
    wanted = task_id_of(task_id)
    async with parts.store.statement() as connection:
        row = await reading.task(connection, wanted)
    if row is None:
        raise UnknownTask
    return row


def _page(request: Request, rows: Sequence[Mapping[str, Any]], limit: int) -> Response:
    shown = rows[:limit]
    next_cursor = cursor_after(shown[-1]["id"]) if len(rows) > limit else None
    headers = {}
    if next_cursor is not None:
        kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        headers["Link"] = f'<{request.url.path}?{urlencode([*kept, ("cursor", next_cursor)])}>; rel="next"'
    return json_response({"items": [task_view(row) for row in shown], "next_cursor": next_cursor}, headers=headers)


def cursor_after(task_id: UUID) -> str:
    """The cursor of the page that follows this task."""
    return urlsafe_b64encode(task_id.bytes).decode().rstrip("=")


def _below(cursor: str | None, faults: list[FieldError]) -> UUID | None:
    if cursor is None:
        return None
    try:
        found = UUID(bytes=urlsafe_b64decode(cursor + "=="))
    except (ValueError, binascii.Error):
        found = None
    if found is None or cursor_after(found) != cursor:
        faults.append(FieldError(pointer="/query/cursor", detail="is not a cursor of this list"))
        return None
    return found
