"""Cancel tasks, or run ended ones again, by a filter."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from pointsman_contract.states import TaskState
from pointsman_service.admit.moments import Moment
from pointsman_service.admit.numbers import WHOLE
from pointsman_service.admit.submission import Tags
from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.documentation.examples import with_nulls
from pointsman_service.api.parts import GivenCaller, GivenParts, Parts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.problems.translation import in_time
from pointsman_service.api.requests.filters import LONGEST_HELD_REASON, LONGEST_WORKER, MOST_ATTEMPTS
from pointsman_service.api.requests.given import Action, Reason, given, idempotency_key, request_body
from pointsman_service.api.requests.headers import read_headers
from pointsman_service.api.requests.ids import Id
from pointsman_service.api.requests.parameters import bounded, known_parameters_only
from pointsman_service.api.requests.rights import check_payload_filter
from pointsman_service.api.tasks.acts import EXAMPLE_ACT, EXAMPLE_ID, TaskActView, task_act_view
from pointsman_service.callers import Caller
from pointsman_service.errors import FieldError, InvalidRequest
from pointsman_service.operate.act_on_many import ManyRequest
from pointsman_service.store.tasks.acts import ActFilter, TaskActKind

router = APIRouter(tags=["tasks"], dependencies=[Depends(known_parameters_only)])

_MOST = 100_000_000
_WHICH = (
    "state", "queue", "task_type", "caller", "worker", "attempts", "attempts_at_least", "error_group", "tags",
    "submitted_after", "submitted_before",
)  # fmt: skip
_WHICH_UNFINISHED = (*_WHICH, "held_reason")
_WHICH_ENDED = (*_WHICH, "error_type", "error_message", "finished_after", "finished_before")


_UNTOUCHED: dict[str, Any] = {"end_running": {"const": False}}
_RUNNING_UNTOUCHED = {"required": ["state"], "properties": _UNTOUCHED | {"state": {"const": "running"}}}
_GRACE_FOR_NOTHING = {"required": ["grace_seconds"], "properties": _UNTOUCHED | {"grace_seconds": {"type": "number"}}}


def _not(*what: dict[str, Any], unless_one_of: tuple[str, ...]) -> ConfigDict:
    nothing: dict[str, Any] = {"properties": {name: {"type": "null"} for name in unless_one_of}}
    return ConfigDict(json_schema_extra={"not": {"anyOf": [nothing, *what]}})


class _Many(Action):
    """What acts on many tasks have in common."""

    queue: str | None = Field(default=None, max_length=63, description="Only tasks of this queue.")
    task_type: str | None = Field(default=None, max_length=200, description="Only tasks of this type.")
    caller: str | None = Field(default=None, max_length=255, description="Only tasks that this caller submitted.")
    worker: str | None = Field(
        default=None,
        max_length=LONGEST_WORKER,
        description="Only tasks whose newest attempt this worker ran: in any of its lives, or with `#…` in that one.",
    )
    attempts: Annotated[int, Field(ge=0, le=MOST_ATTEMPTS), WHOLE] | None = Field(
        default=None, description="Only tasks of which exactly so many attempts started."
    )
    attempts_at_least: Annotated[int, Field(ge=0, le=MOST_ATTEMPTS), WHOLE] | None = Field(
        default=None, description="Only tasks of which so many attempts started, or more."
    )
    error_group: Id | None = Field(
        default=None,
        description="Only tasks whose last attempt that has ended failed with an error of this group.",
    )
    tags: Annotated[Tags, Field(min_length=1, json_schema_extra={"minProperties": 1})] | None = Field(
        default=None, description="Only tasks with all of these."
    )
    submitted_after: Moment | None = Field(default=None, description="Submitted at this moment or later.")
    submitted_before: Moment | None = Field(
        default=None, description="Submitted before this moment; default, and at most: the moment of this call."
    )
    limit: Annotated[int, Field(ge=1, le=_MOST), WHOLE] | None = Field(
        default=None, description="The oldest so many; default: all."
    )
    at_most: Annotated[int, Field(ge=0, le=_MOST), WHOLE] | None = Field(
        default=None,
        description="Refused, and nothing done, when there are more. Without it all that the filter finds are acted on,"
        " at once: look first, with `dry_run`, and give what it counted.",
    )
    dry_run: bool = Field(default=False, description="Count, and change nothing.")
    reason: Reason | None = Field(default=None, description="Why, for the log.")


class CancelMany(_Many):
    """Which tasks are cancelled. At least one of the fields that narrow it must be given."""

    model_config = _not(_RUNNING_UNTOUCHED, _GRACE_FOR_NOTHING, unless_one_of=_WHICH_UNFINISHED)

    state: Literal["queued", "scheduled", "held", "retrying", "running"] | None = Field(
        default=None, description="Only tasks in this state; default: all that wait. `running` asks for `end_running`."
    )
    rate_per_second: float | None = Field(
        default=None, ge=0.001, le=100_000, description="No more of them in a second; default: as fast as it can."
    )
    end_running: bool = Field(default=False, description="What runs is ended, too, as `cancel_task` does.")
    held_reason: str | None = Field(
        default=None,
        max_length=LONGEST_HELD_REASON,
        description="Only tasks that are held for this, as tasks show it: `breaker:<scope>:<name>`.",
    )
    grace_seconds: float | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="With `end_running`: how long a running attempt may take to end before it is killed.",
    )


class RetryMany(_Many):
    """Which ended tasks run again. At least one of the fields that narrow it must be given."""

    model_config = _not(unless_one_of=_WHICH_ENDED)

    state: Literal["failed", "cancelled", "expired"] | None = Field(
        default=None, description="Only tasks that ended so; default: `failed`."
    )
    error_type: str | None = Field(
        default=None, max_length=300, description="Only those whose last attempt failed with this error."
    )
    error_message: str | None = Field(
        default=None,
        min_length=3,
        max_length=200,
        description="Only those with this text in the message of their error, whatever its case. No pattern.",
    )
    finished_after: Moment | None = Field(default=None, description="Ended at this moment or later.")
    finished_before: Moment | None = Field(default=None, description="Ended before this moment.")
    rate_per_second: float | None = Field(
        default=None, ge=0.001, le=10_000, description="They become due one after the other; default: all at once."
    )


class CountedTasks(BaseModel):
    """What a dry run found."""

    tasks: int = Field(description="Tasks that it would act on now.")
    submitted_before: AwareDatetime = Field(description="To be given with the act: what came later was not counted.")
    dry_run: Literal[True]


_COUNTED = {"tasks": 20_000, "submitted_before": "2026-11-22T09:30:00.134000Z", "dry_run": True}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "The act, as far as it is.",
        "content": {"application/json": {"example": with_nulls(EXAMPLE_ACT)}},
        "headers": {"Location": {"schema": {"type": "string"}, "description": f"`/v1/task-acts/{EXAMPLE_ID}`"}},
    },
    200: {
        "model": TaskActView | CountedTasks,
        "description": "A dry run, or the act that the first call with this Idempotency-Key began.",
        "content": {"application/json": {"example": _COUNTED}},
    },
    **problem_responses(400, 409, 413, 415, 422, 503),
}


@router.post(
    "/v1/tasks/cancel",
    operation_id="cancel_tasks",
    summary="Cancel tasks by a filter",
    description=(
        "The tasks that the filter finds, and that were submitted before this call, end as `cancelled`; what runs is"
        " left alone unless `end_running` says otherwise, and so is what starts in that moment. Once it is `done` and"
        " nothing is `pending`, none of them starts any more. It is walked through in parts: what three seconds do not"
        " suffice for, or whoever began it leaves behind, goes on by itself. `POST /v1/task-acts/{id}/undo` puts back"
        " what had not started. With an `Idempotency-Key` the same call again answers 200 with the same act."
    ),
    status_code=202,
    response_model=TaskActView,
    responses=_RESPONSES,
    openapi_extra=request_body(CancelMany, {"queue": "email", "tags": {"campaign": "spring"}, "at_most": 20_000})
    | idempotency_key(),
)
async def cancel_tasks(request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Cancel the tasks that a filter finds."""
    body = await given(request, CancelMany)
    if body.state == "running" and not body.end_running:
        raise InvalidRequest(errors=[FieldError(pointer="/end_running", detail="must be true for tasks that run")])
    if body.grace_seconds is not None and not body.end_running:
        raise InvalidRequest(errors=[FieldError(pointer="/grace_seconds", detail="is only for end_running")])
    grace = body.grace_seconds
    if body.end_running and grace is None:
        grace = parts.settings.cancel_grace_seconds
    state = None if body.state is None else TaskState(body.state)
    wanted = ActFilter(**_narrowed(body), state=state, held_reason=body.held_reason)
    return await _act(request, parts, caller, body, wanted, TaskActKind.CANCEL, body.rate_per_second, grace)


@router.post(
    "/v1/tasks/retry",
    operation_id="retry_tasks",
    summary="Run ended tasks again by a filter",
    description=(
        "The ended tasks that the filter finds run again, each as a new task that names it in `replayed_from`, and each"
        " once, whoever else asks. With `rate_per_second` they become due one after the other. It is walked through in"
        " parts, and goes on by itself. Left out are tasks whose queue is not configured any more."
        " `POST /v1/task-acts/{id}/undo` takes back what has not started. With an `Idempotency-Key` the same call again"
        " answers 200 with the same act."
    ),
    status_code=202,
    response_model=TaskActView,
    responses=_RESPONSES,
    openapi_extra=request_body(RetryMany, {"task_type": "send_reminder_email", "rate_per_second": 5})
    | idempotency_key(),
)
async def retry_tasks(request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Run the ended tasks again that a filter finds."""
    body = await given(request, RetryMany)
    state = None if body.state is None else TaskState(body.state)
    wanted = ActFilter(
        **_narrowed(body),
        state=state,
        error_type=body.error_type,
        error_message=body.error_message,
        finished_after=bounded(body.finished_after),
        finished_before=bounded(body.finished_before),
    )
    return await _act(request, parts, caller, body, wanted, TaskActKind.RETRY, body.rate_per_second, None)


def _narrowed(body: _Many) -> dict[str, Any]:
    return {
        "queue": body.queue,
        "task_type": body.task_type,
        "caller": body.caller,
        "worker": body.worker,
        "attempts": body.attempts,
        "attempts_at_least": body.attempts_at_least,
        "error_group": body.error_group,
        "tags": body.tags,
        "submitted_after": bounded(body.submitted_after),
    }


async def _act(
    request: Request,
    parts: Parts,
    caller: Caller,
    body: _Many,
    wanted: ActFilter,
    kind: TaskActKind,
    rate_per_second: float | None,
    grace_seconds: float | None,
) -> Response:
    check_payload_filter(caller, wanted.tags, wanted.error_message)
    before: datetime | None = bounded(body.submitted_before)
    if not wanted.given() and before is None:
        raise InvalidRequest(errors=[FieldError(pointer="", detail="say which: queue, task_type, tags, …")])
    key, _ = read_headers(request.scope)
    asked = ManyRequest(kind, wanted, before, body.limit, body.at_most, rate_per_second, grace_seconds)
    async with in_time("narrow it, best by submitted_after"):
        if body.dry_run:
            tasks, counted_before = await parts.many.count(asked)
            return json_response({"tasks": tasks, "submitted_before": moment(counted_before), "dry_run": True})
        progress, earlier = await parts.many.begin(caller, asked, key, body.reason)
    headers = {"Location": f"/v1/task-acts/{progress.act.id}"}
    if earlier:
        headers["Idempotency-Replayed"] = "true"
    return json_response(task_act_view(progress), 200 if earlier else 202, headers)
