"""Cancel a task."""

from typing import Any

from fastapi import APIRouter, Depends, Response

from contract.states import TaskState
from service.api.answers import example, json_response, known_parameters_only
from service.api.parts import GivenParts
from service.api.problems import problem_responses
from service.api.task_view import EXAMPLE_TASK, TaskView, task_view
from service.api.tasks import task_id_of
from service.errors import DatabaseAway, InvalidRequest, TaskFinished, UnknownTask

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
}


@router.post(
    "/v1/tasks/{task_id}/cancel",
    operation_id="cancel_task",
    summary="Cancel a task",
    description=(
        "A task that waits ends as `cancelled` at once, and never runs: 200, also when it was cancelled before. 202"
        " says that the request is stored and will be done: an attempt runs, which is not interrupted and after which"
        " no other starts, or Redis is away. The body of the request is not read."
    ),
    response_model=TaskView,
    responses={**example(_CANCELLED, "The task, cancelled."), 202: {"description": "Requested.", "model": TaskView}}
    | problem_responses(UnknownTask, TaskFinished, InvalidRequest, DatabaseAway),
)
async def cancel_task(task_id: str, parts: GivenParts) -> Response:
    """Cancel one task."""
    row = await parts.canceller.cancel(task_id_of(task_id))
    return json_response(task_view(row), status=200 if row["state"] == TaskState.CANCELLED else 202)
