"""Retry a task."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from pointsman_service.admit.submission import Priority
from pointsman_service.api.answers.answer import json_response
from pointsman_service.api.documentation.examples import with_nulls
from pointsman_service.api.parts import GivenCaller, GivenParts, Parts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.given import Explained, given, idempotency_key, request_body
from pointsman_service.api.requests.headers import read_headers
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.api.tasks.routes import task_id_of
from pointsman_service.api.tasks.view import EXAMPLE_TASK, TaskView, task_view
from pointsman_service.callers import Caller
from pointsman_service.operate.retry import OtherThan
from pointsman_service.store.tasks import reading

router = APIRouter(tags=["tasks"], dependencies=[Depends(known_parameters_only)])

_RETRIED: dict[str, Any] = EXAMPLE_TASK | {
    "id": "01a20272-0f3b-7c52-8a6e-2f1b7d5c9e10",
    "state": "queued",
    "attempt": 0,
    "started_at": None,
    "finished_at": None,
    "queue_wait_seconds": None,
    "run_seconds": None,
    "worker": None,
    "result": None,
    "sla": {"target_seconds": 60.0, "met": None},
    "replayed_from": EXAMPLE_TASK["id"],
    "dispatch": 0,
}


class Retry(Explained):
    """What the new task has otherwise. What is left out it takes over."""

    args: list[Any] = Field(default_factory=list, description="Other positional arguments.")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="Other named arguments, all of them.")
    queue: str | None = Field(default=None, max_length=63, description="Another queue.")
    priority: Priority | None = Field(default=None, description="Another priority.")


@router.post(
    "/v1/tasks/{task_id}/retry",
    operation_id="retry_task",
    summary="Run an ended task again",
    description=(
        "A failed, cancelled or expired task runs again as a new one: same task type, arguments, queue, priority, tags,"
        " time limit and `max_attempts`, due at once, without `expires_at`. The body may give other arguments, which"
        " are checked like those of a submission, and another queue or priority. The new one names it in"
        " `replayed_from`. Each is run again once: then 409 names the task it became, to be retried instead. With an"
        " `Idempotency-Key` the same call again answers 200 with the first new task."
    ),
    status_code=202,
    response_model=TaskView,
    responses={
        202: {
            "description": "The new task.",
            "content": {"application/json": {"example": with_nulls(_RETRIED)}},
        },
        200: {"model": TaskView, "description": "The task this Idempotency-Key stands for."},
        **problem_responses(400, 404, 409, 413, 415, 422, 503),
    },
    openapi_extra=request_body(Retry, {"kwargs": {"to": "b@example.org"}}, required=False) | idempotency_key(),
)
async def retry_task(task_id: str, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Run one task again."""
    body = await given(request, Retry)
    # An empty list says that there are none: something else than nothing said.
    args = body.args if "args" in body.model_fields_set else None
    kwargs = body.kwargs if "kwargs" in body.model_fields_set else None
    other = OtherThan(args, kwargs, body.queue, body.priority)
    asked = task_id_of(task_id)
    if parts.tracing is None:
        row, replayed = await _retry(parts, caller, asked, request.scope, body.reason, other)
    else:
        async with parts.store.statement() as connection:
            first = await reading.task(connection, asked)
        with parts.tracing.submission(request.scope, None if first is None else first["traceparent"]) as span:
            row, replayed = await _retry(parts, caller, asked, request.scope, body.reason, other)
            parts.tracing.describe(span, str(row["id"]), row["task_type"], row["queue"])
    headers = {"Location": f"/v1/tasks/{row['id']}"}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return json_response(task_view(row), 200 if replayed else 202, headers)


async def _retry(
    parts: Parts, caller: Caller, task_id: UUID, scope: Any, reason: str | None, other: OtherThan
) -> tuple[dict[str, Any], bool]:
    key, traceparent = read_headers(scope)
    return await parts.retrier.retry(caller, task_id, key, traceparent, reason, other)
