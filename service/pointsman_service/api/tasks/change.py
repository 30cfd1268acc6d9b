"""Change a task that waits."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ConfigDict, Field

from pointsman_service.admit.submission import BOTH_TIMES, MomentOfTask, Priority
from pointsman_service.api.answers.answer import json_response
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.given import Explained, given, request_body
from pointsman_service.api.requests.parameters import bounded, known_parameters_only
from pointsman_service.api.tasks.routes import task_id_of
from pointsman_service.api.tasks.view import EXAMPLE_TASK, TaskView
from pointsman_service.api.tasks.waiting import waiting_view
from pointsman_service.errors import (
    DatabaseAway,
    FieldError,
    InvalidRequest,
    TaskFinished,
    TaskNotWaiting,
    UnknownTask,
)
from pointsman_service.store.tasks.changing import Change

router = APIRouter(tags=["tasks"], dependencies=[Depends(known_parameters_only)])

_TEN_YEARS = 10 * 366 * 86_400.0
_CHANGES = ("queue", "priority", "scheduled_at", "delay_seconds")
_NOTHING: dict[str, Any] = {"properties": {name: {"type": "null"} for name in _CHANGES}}
_CHANGED: dict[str, Any] = EXAMPLE_TASK | {
    "state": "queued",
    "attempt": 0,
    "priority": 9,
    "started_at": None,
    "finished_at": None,
    "queue_wait_seconds": None,
    "run_seconds": None,
    "worker": None,
    "result": None,
    "sla": {"target_seconds": 60.0, "met": None},
    "dispatch": 0,
}


class ChangeTask(Explained):
    """What becomes of the task; what is left out stays. At least one of the first four must be given."""

    model_config = ConfigDict(json_schema_extra={"not": {"anyOf": [_NOTHING, BOTH_TIMES]}})

    queue: str | None = Field(default=None, max_length=63, description="Its new queue.")
    priority: Priority | None = Field(default=None, description="10 is the most urgent.")
    scheduled_at: MomentOfTask | None = Field(default=None, description="When it is due; a moment that is past: now.")
    delay_seconds: float | None = Field(
        default=None, ge=0, le=_TEN_YEARS, description="So long from now it is due. 0: run it now."
    )


@router.patch(
    "/v1/tasks/{task_id}",
    operation_id="change_task",
    summary="Change a task that waits, or run it now",
    description=(
        "Its queue, its priority, and when it is due, while it is `scheduled`, `retrying`, `held`, or `queued` and not"
        ' sent yet. `{"delay_seconds": 0}` runs it now: it is sent as others are that are due, and a pause or a circuit'
        " breaker still holds it. What is put off is `scheduled`, or `retrying` after an attempt. Its SLA clock runs"
        " from its new due time. 409: it was sent, so that a worker takes it next; it runs, is being cancelled, or has"
        " ended."
    ),
    response_model=TaskView,
    responses=example(_CHANGED, "The task, changed.")
    | problem_responses(400, UnknownTask, TaskFinished, TaskNotWaiting, 413, 415, InvalidRequest, DatabaseAway),
    openapi_extra=request_body(ChangeTask, {"priority": 9, "delay_seconds": 0, "reason": "the customer waits"}),
)
async def change_task(task_id: str, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Change one task that waits."""
    body = await given(request, ChangeTask)
    if all(getattr(body, name) is None for name in _CHANGES):
        raise InvalidRequest(errors=[FieldError(pointer="", detail=f"say what: {', '.join(_CHANGES)}")])
    if body.scheduled_at is not None and body.delay_seconds is not None:
        raise InvalidRequest(
            errors=[FieldError(pointer="/delay_seconds", detail="give either scheduled_at or delay_seconds")]
        )
    change = Change(
        queue=body.queue,
        priority=body.priority,
        due_at=bounded(body.scheduled_at),
        delay_seconds=body.delay_seconds,
    )
    row = await parts.changer.change(caller, task_id_of(task_id), change, body.reason)
    return json_response(await waiting_view(parts, row))
