"""Dead letters: the failed tasks that were not run again, by what they failed with."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.admit.moments import Moment
from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.answers.payloads import Payload
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.problems.translation import in_time
from pointsman_service.api.requests.filters import refuse_unknown
from pointsman_service.api.requests.parameters import bounded, known_parameters_only, storable
from pointsman_service.errors import DatabaseAway, FieldError, InvalidRequest, Unavailable
from pointsman_service.observe.tasks.dead_letters import DeadLetters, dead_letters_of
from pointsman_service.store.tasks import dead_letters
from pointsman_service.store.tasks.dead_letters import DeadLetterFilter

router = APIRouter(tags=["dead letters"], dependencies=[Depends(known_parameters_only)])

_MOST = 1000
_EXAMPLE: dict[str, Any] = {
    "task_type": "send_reminder_email",
    "error_type": "SMTPServerDisconnected",
    "count": 212,
    "first_failed_at": "2026-11-22T08:30:00.135000Z",
    "last_failed_at": "2026-11-22T09:12:41.002000Z",
    "queues": ["email"],
    "example_task_id": "01a20271-c811-71a5-99c0-510fde22a57d",
    "example_message": "Connection unexpectedly closed",
}


class DeadLetterGroup(BaseModel):
    """Failed tasks of one type that failed with one error."""

    task_type: str
    error_type: str | None = Field(description="Of the attempt that ended them.")
    count: int
    first_failed_at: AwareDatetime
    last_failed_at: AwareDatetime
    queues: list[str]
    example_task_id: str = Field(description="The one that failed last.")
    example_message: Annotated[str | None, Payload()]


class DeadLetterGroups(BaseModel):
    """The largest groups first."""

    items: list[DeadLetterGroup]
    next_cursor: None = None


@router.get(
    "/v1/dead-letters",
    operation_id="list_dead_letters",
    summary="List dead letters by task type and error",
    description=(
        "Failed tasks that were not run again, the largest groups first. The tasks of a group:"
        " `GET /v1/tasks?state=failed&task_type=…&error_type=…&replayed=false`."
    ),
    response_model=DeadLetterGroups,
    responses=example({"items": [_EXAMPLE], "next_cursor": None}, "The groups.")
    | problem_responses(InvalidRequest, DatabaseAway, Unavailable),
)
async def list_dead_letters(
    parts: GivenParts,
    task_type: Annotated[str | None, Query(max_length=200, description="Only of this type.")] = None,
    error_type: Annotated[str | None, Query(max_length=300, description="Only of this error.")] = None,
    queue: Annotated[str | None, Query(max_length=63, description="Only of this queue.")] = None,
    failed_after: Annotated[Moment | None, Query(description="Failed at this moment or later.")] = None,
    failed_before: Annotated[Moment | None, Query(description="Failed before this moment.")] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST, description="Groups shown.")] = 100,
) -> Response:
    """The groups of dead letters."""
    faults: list[FieldError] = []
    wanted = DeadLetterFilter(
        task_type=storable("task_type", task_type, faults),
        error_type=storable("error_type", error_type, faults),
        queue=storable("queue", queue, faults),
        failed_after=bounded(failed_after),
        failed_before=bounded(failed_before),
    )
    if faults:
        raise InvalidRequest(errors=faults)
    async with in_time("narrow it, best by failed_before"), parts.store.statement() as connection:
        groups = await dead_letters.groups(connection, wanted, limit)
    if not groups:
        await refuse_unknown(parts, queue=queue, task_type=task_type)
    return json_response({"items": [_view(dead_letters_of(group)) for group in groups], "next_cursor": None})


def _view(group: DeadLetters) -> dict[str, Any]:
    return {
        "task_type": group.task_type,
        "error_type": group.error_type,
        "count": group.count,
        "first_failed_at": moment(group.first_failed_at),
        "last_failed_at": moment(group.last_failed_at),
        "queues": list(group.queues),
        "example_task_id": str(group.example_task_id),
        "example_message": group.example_message,
    }
