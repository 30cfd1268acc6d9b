"""Cancel a task."""

import math
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ConfigDict, Field

from pointsman_contract.states import TaskState
from pointsman_service.api.answers.answer import json_response
from pointsman_service.api.documentation.examples import example, with_nulls
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.given import Explained, given, request_body
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.api.tasks.routes import task_id_of
from pointsman_service.api.tasks.view import EXAMPLE_TASK, TaskView, task_view
from pointsman_service.errors import DatabaseAway, InvalidRequest, TaskFinished, UnknownTask

router = APIRouter(tags=["tasks"], dependencies=[Depends(known_parameters_only)])

_CANCELLED: dict[str, Any] = EXAMPLE_TASK | {
    "state": "cancelled",
    "attempt": 0,
    "started_at": None,
    "queue_wait_seconds": None,
    "run_seconds": None,
    "worker": None,
    "result": None,
    "sla": {"target_seconds": 60.0, "met": None},
    "cancel_requested_at": "2026-11-22T08:30:00.130000Z",
    "cancel_requested_by": "local",
    "told": True,
}


class CancelledView(TaskView):
    """The task after the request."""

    model_config = ConfigDict(json_schema_extra={"examples": [with_nulls(_CANCELLED)]})

    told: bool = Field(
        description="Whether the workers' gate knows, so that no attempt starts from now on. False: Redis is away, and"
        " is told once it is back; until then a worker that still reaches it may start the task."
    )


class Cancel(Explained):
    """How to cancel."""

    grace_seconds: float | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="How long a running attempt may take to end before it is killed; default: a setting, 10 s.",
    )
    end_running: bool = Field(
        default=True, description="False: a running attempt goes on undisturbed, and no other follows it."
    )


@router.post(
    "/v1/tasks/{task_id}/cancel",
    operation_id="cancel_task",
    summary="Cancel a task",
    description=(
        "A task that waits ends as `cancelled` at once, and never runs: 200, also when it was cancelled before. 202"
        " says that the request is stored and will be done: an attempt runs, or what was reported is not recorded yet,"
        " or Redis is away; `told` says whether no attempt starts from the answer on. A running attempt is told within"
        " about a second (`self.cancelled`), and killed when it has not ended after the grace time. If it succeeds all"
        " the same, the task has succeeded; else it is `cancelled`, and no other attempt follows. Asked again, the"
        " newest grace time counts."
    ),
    response_model=CancelledView,
    responses={
        **example(_CANCELLED, "The task, cancelled."),
        202: {"description": "Requested.", "model": CancelledView},
    }
    | problem_responses(400, UnknownTask, TaskFinished, 413, 415, InvalidRequest, DatabaseAway),
    openapi_extra=request_body(Cancel, {"grace_seconds": 30}, required=False),
)
async def cancel_task(task_id: str, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Cancel one task."""
    how = await given(request, Cancel)
    grace = parts.settings.cancel_grace_seconds if how.grace_seconds is None else how.grace_seconds
    grace = grace if how.end_running else math.inf
    done = await parts.canceller.cancel(caller, task_id_of(task_id), grace, how.reason)
    answer = task_view(done.row) | {"told": done.told}
    return json_response(answer, status=200 if done.row["state"] == TaskState.CANCELLED else 202)
