"""Pause, resume and purge a queue."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from pointsman_service.admit.moments import Moment
from pointsman_service.admit.numbers import WHOLE
from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenCaller, GivenParts, Parts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.given import Action, Explained, Reason, given, request_body
from pointsman_service.api.requests.parameters import bounded, known_parameters_only
from pointsman_service.callers import Caller
from pointsman_service.errors import CountDiffers, DatabaseAway, FieldError, InvalidRequest, UnknownQueueName
from pointsman_service.operate.purge import MOST_COUNTED, PURGEABLE, PurgeRequest

router = APIRouter(tags=["queues"], dependencies=[Depends(known_parameters_only)])

_PAUSED: dict[str, Any] = {
    "name": "email",
    "paused": True,
    "reason": "the relay is down",
    "actor": "local",
    "changed_at": "2026-11-22T08:30:00.120000Z",
    "told": True,
    "waiting": 1200,
    "sent": 14,
    "running": 1,
}

_PURGED = {
    "tasks": 1208,
    "tasks_is_most": False,
    "submitted_before": "2026-11-22T08:30:00.120000Z",
    "pending": 0,
    "pending_is_least": False,
    "dry_run": False,
}


class Pause(Action):
    """Why."""

    reason: Reason = Field(description="Shown in `GET /v1/queues`.")


class Resume(Explained):
    """Why, if anybody wants to know."""


_NO_COUNT: dict[str, Any] = {name: {"type": "null"} for name in ("expected", "at_most")}


class Purge(Explained):
    """What is purged. `at_most` or `expected` is required, unless it is a dry run."""

    model_config = ConfigDict(json_schema_extra={"not": {"properties": _NO_COUNT | {"dry_run": {"const": False}}}})

    at_most: Annotated[int, Field(ge=0), WHOLE] | None = Field(
        default=None, description="Refused when there are more tasks than that: the way that works under traffic."
    )
    expected: Annotated[int, Field(ge=0), WHOLE] | None = Field(
        default=None, description="How many tasks there are; refused if that differs."
    )
    submitted_before: Moment | None = Field(
        default=None,
        description="Only what was submitted before this moment, as a dry run answers it; default: before this call.",
    )
    states: list[Literal["queued", "scheduled", "held", "retrying"]] = Field(
        default=["queued"], min_length=1, max_length=4, description="The default is what is due: the queue's `depth`."
    )
    dry_run: bool = Field(default=False, description="Count, and change nothing.")


class PausedView(BaseModel):
    """A queue after a pause or a resume."""

    name: str
    paused: bool
    reason: str | None
    actor: str
    changed_at: AwareDatetime
    told: bool = Field(
        description="Whether the workers' gate knows. False: Redis is away, where nothing starts; it is told later."
    )
    waiting: int = Field(description="Tasks due, in PostgreSQL.")
    sent: int = Field(
        description="Tasks due that were sent. In a paused queue a worker that takes one puts it back unstarted."
    )
    running: int = Field(description="Attempts that run: they go on.")


class PurgedView(BaseModel):
    """What a purge did, or with `dry_run` would do."""

    tasks: int = Field(description="Tasks it is about.")
    tasks_is_most: bool = Field(
        description="Whether a dry run may tell too many: of what came since `submitted_before` in all queues, and of"
        f" what is to end anyhow, it looks at {MOST_COUNTED:,} at most."
    )
    submitted_before: AwareDatetime = Field(description="What was submitted then or later is not touched.")
    pending: int = Field(description="Not ended yet. One that a worker starts in that moment goes on.")
    pending_is_least: bool = Field(description=f"Whether there may be more: {MOST_COUNTED:,} at most are counted.")
    dry_run: bool


@router.post(
    "/v1/queues/{name}/pause",
    operation_id="pause_queue",
    summary="Pause a queue",
    description=(
        "From the answer on no further managed task of the queue starts, whoever sent it; those that run go on. Tasks"
        " are still accepted, and wait. It holds across restarts, until it is resumed. Plain Celery messages are not"
        " held."
    ),
    response_model=PausedView,
    responses=example(_PAUSED, "The queue, paused.")
    | problem_responses(400, UnknownQueueName, 413, 415, InvalidRequest, DatabaseAway),
    openapi_extra=request_body(Pause, {"reason": "the relay is down"}),
)
async def pause_queue(name: str, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Pause a queue."""
    return await _set_paused(parts, caller, name, (await given(request, Pause)).reason, paused=True)


@router.post(
    "/v1/queues/{name}/resume",
    operation_id="resume_queue",
    summary="Resume a queue",
    description="What waits is sent again, most urgent first.",
    response_model=PausedView,
    responses=example(_PAUSED | {"paused": False, "reason": None}, "The queue, resumed.")
    | problem_responses(400, UnknownQueueName, 413, 415, InvalidRequest, DatabaseAway),
    openapi_extra=request_body(Resume, {"reason": "the relay is back"}, required=False),
)
async def resume_queue(name: str, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Resume a queue."""
    return await _set_paused(parts, caller, name, (await given(request, Resume)).reason, paused=False)


@router.post(
    "/v1/queues/{name}/purge",
    operation_id="purge_queue",
    summary="End what waits in a queue",
    description=(
        "Its unstarted tasks end as `cancelled`, in PostgreSQL and on the broker; what runs is not touched, nor what is"
        " submitted from now on. Look with `dry_run`, then purge `at_most` as many, submitted before the moment that it"
        " answered; with `expected`, more or fewer are refused. 202: some take longer, because Redis is away or there"
        " are very many."
    ),
    response_model=PurgedView,
    responses={
        **example(_PURGED, "Purged."),
        202: {"description": "Purged, some not ended yet.", "model": PurgedView},
        **problem_responses(400, UnknownQueueName, CountDiffers, 413, 415, InvalidRequest, DatabaseAway),
    },
    openapi_extra=request_body(Purge, {"at_most": 1214, "submitted_before": "2026-11-22T08:30:00.120000Z"}),
)
async def purge_queue(name: str, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """End what waits in a queue."""
    body = await given(request, Purge)
    states = [state for state in PURGEABLE if state in body.states]
    asked = PurgeRequest(states, bounded(body.submitted_before), body.expected, body.at_most)
    if body.dry_run:
        purged = await parts.purger.count(name, asked)
    elif body.expected is None and body.at_most is None:
        raise InvalidRequest(errors=[FieldError(pointer="/at_most", detail="say how many tasks it may be at most")])
    else:
        purged = await parts.purger.purge(caller, name, asked, body.reason)
    answer = {
        "tasks": purged.tasks,
        "tasks_is_most": purged.tasks_is_most,
        "submitted_before": moment(purged.submitted_before),
        "pending": purged.pending,
        "pending_is_least": purged.pending_is_least,
        "dry_run": body.dry_run,
    }
    return json_response(answer, 202 if purged.pending and not body.dry_run else 200)


async def _set_paused(parts: Parts, caller: Caller, name: str, reason: str | None, *, paused: bool) -> Response:
    done = await parts.pauser.set_paused(caller, name, paused=paused, reason=reason)
    answer = {
        "name": done.pause.queue,
        "paused": done.pause.paused,
        "reason": done.pause.reason,
        "actor": done.pause.actor,
        "changed_at": moment(done.pause.changed_at),
        "told": done.told,
        "waiting": done.tasks.waiting,
        "sent": done.tasks.sent,
        "running": done.tasks.running,
    }
    return json_response(answer)
