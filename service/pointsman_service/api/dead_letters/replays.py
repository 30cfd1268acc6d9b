"""Run dead letters again, see how far that is, and take back what has not started."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from pointsman_service.admit.moments import Moment
from pointsman_service.admit.numbers import WHOLE
from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.problems.translation import in_time
from pointsman_service.api.requests.given import Action, Explained, Reason, given, idempotency_key, request_body
from pointsman_service.api.requests.headers import read_headers
from pointsman_service.api.requests.ids import Cursor, id_of
from pointsman_service.api.requests.parameters import bounded, known_parameters_only
from pointsman_service.errors import DatabaseAway, FieldError, InvalidRequest, UnknownReplay
from pointsman_service.observe.tasks.dead_letters import ReplaySoFar, replay_of
from pointsman_service.operate.replay import MOST, ReplayRequest
from pointsman_service.store.tasks.dead_letters import DeadLetterFilter

router = APIRouter(tags=["dead letters"], dependencies=[Depends(known_parameters_only)])

_ID = "01a20273-5f60-7d0e-9c3e-6a3f2a4c7b11"
_EXAMPLE: dict[str, Any] = {
    "id": _ID,
    "requested_at": "2026-11-22T09:30:00.135000Z",
    "filter": {"task_type": "send_reminder_email", "error_type": "SMTPServerDisconnected"},
    "rate_per_second": 5.0,
    "matched": 212,
    "tasks": 212,
    "last_due_at": "2026-11-22T09:30:42.335000Z",
    "states": {"scheduled": 180, "running": 1, "succeeded": 31},
}


_WHICH = ("task_type", "error_type", "queue", "failed_after", "failed_before")


class Replay(Action):
    """Which dead letters run again. At least one of the first five fields must be given."""

    model_config = ConfigDict(json_schema_extra={"not": {"properties": {name: {"type": "null"} for name in _WHICH}}})

    task_type: str | None = Field(default=None, max_length=200)
    error_type: str | None = Field(default=None, max_length=300, description="As `GET /v1/dead-letters` names it.")
    queue: str | None = Field(default=None, max_length=63)
    failed_after: Moment | None = Field(default=None, description="Failed at this moment or later.")
    failed_before: Moment | None = Field(default=None, description="Failed before this moment.")
    limit: Annotated[int, Field(ge=1, le=MOST), WHOLE] = Field(
        default=1000, description="The oldest so many; call again for the rest."
    )
    rate_per_second: float | None = Field(
        default=None, ge=0.001, le=10_000, description="They become due one after the other; default: all at once."
    )
    dry_run: bool = Field(default=False, description="Count, and change nothing.")
    reason: Reason | None = Field(default=None, description="Why, for the log.")


class ReplayResultView(BaseModel):
    """What was done, or with `dry_run` would be."""

    replay_id: str | None = Field(description="For `GET /v1/dead-letters/replays/{id}`; null for a dry run.")
    matched: int = Field(description="Dead letters that the filter found.")
    tasks: int = Field(description="Those of them that run again.")
    last_due_at: AwareDatetime | None = Field(description="When the last of them is due.")
    dry_run: bool


class ReplayView(BaseModel):
    """One replay, and how far it is."""

    id: str
    requested_at: AwareDatetime
    filter: dict[str, str]
    rate_per_second: float | None
    matched: int
    tasks: int = Field(description="Tasks that ran again by it.")
    last_due_at: AwareDatetime | None
    states: dict[str, int] = Field(
        description="The new tasks by state, as far as they are kept; those that an undo took back are `cancelled`."
    )


class ReplayList(BaseModel):
    """A page of replays."""

    items: list[ReplayView]
    next_cursor: str | None


@router.post(
    "/v1/dead-letters/replay",
    operation_id="replay_dead_letters",
    summary="Run dead letters again",
    description=(
        "The oldest dead letters that the filter finds run again, each as a new task that names it in `replayed_from`,"
        " and each once, whoever else asks at the same time. With `rate_per_second` they become due one after the"
        " other. With an `Idempotency-Key` the same call again answers 200 with what the first did."
    ),
    status_code=202,
    response_model=ReplayResultView,
    responses={
        200: {"model": ReplayResultView, "description": "A dry run, or what the first call did."},
        **problem_responses(400, 409, 413, 415, 422, 503),
    },
    openapi_extra=request_body(Replay, {"task_type": "send_reminder_email", "rate_per_second": 5, "dry_run": True})
    | idempotency_key(),
)
async def replay_dead_letters(request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Run dead letters again."""
    body = await given(request, Replay)
    key, _ = read_headers(request.scope)
    wanted = DeadLetterFilter(
        task_type=body.task_type,
        error_type=body.error_type,
        queue=body.queue,
        failed_after=bounded(body.failed_after),
        failed_before=bounded(body.failed_before),
    )
    if not wanted.given():
        raise InvalidRequest(errors=[FieldError(pointer="", detail="say which: task_type, error_type, queue, …")])
    asked = ReplayRequest(wanted, body.limit, body.rate_per_second)
    async with in_time("narrow it, best by failed_before"):
        if body.dry_run:
            result, earlier = await parts.replayer.count(asked), False
        else:
            result, earlier = await parts.replayer.replay(caller, asked, key, body.reason)
    answer = {
        "replay_id": result.replay_id,
        "matched": result.matched,
        "tasks": result.tasks,
        "last_due_at": moment(result.last_due_at),
        "dry_run": body.dry_run,
    }
    headers = {} if result.replay_id is None else {"Location": f"/v1/dead-letters/replays/{result.replay_id}"}
    if earlier:
        headers["Idempotency-Replayed"] = "true"
    return json_response(answer, 200 if earlier or body.dry_run else 202, headers)


@router.get(
    "/v1/dead-letters/replays",
    operation_id="list_replays",
    summary="List replays",
    description="Newest first.",
    response_model=ReplayList,
    responses=example({"items": [_EXAMPLE], "next_cursor": _ID}, "A page.")
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def list_replays(
    parts: GivenParts,
    limit: Annotated[int, Query(ge=1, le=50, description="Replays on a page.")] = 20,
    cursor: Cursor = None,
) -> Response:
    """A page of replays."""
    rows = await parts.replayer.newest(cursor, limit + 1)
    following = str(rows[limit - 1]["id"]) if len(rows) > limit else None
    return json_response({"items": [_view(replay_of(row)) for row in rows[:limit]], "next_cursor": following})


@router.get(
    "/v1/dead-letters/replays/{replay_id}",
    operation_id="get_replay",
    summary="See how far a replay is",
    response_model=ReplayView,
    responses=example(_EXAMPLE, "The replay.") | problem_responses(UnknownReplay, InvalidRequest, DatabaseAway),
)
async def get_replay(replay_id: str, parts: GivenParts) -> Response:
    """One replay."""
    return json_response(_view(replay_of(await parts.replayer.find(_id_of(replay_id)))))


@router.post(
    "/v1/dead-letters/replays/{replay_id}/undo",
    operation_id="undo_replay",
    summary="Take back what a replay has not started",
    description=(
        "Its tasks that have not started end as `cancelled` for good, and what they were made from is a dead letter"
        " again: only that can be run again. What has started goes on. While Redis is away or the recorder is behind,"
        " some of it takes longer; then ask again."
    ),
    response_model=ReplayView,
    responses=example(_EXAMPLE | {"states": {"cancelled": 180, "running": 1, "succeeded": 31}}, "The replay.")
    | problem_responses(400, UnknownReplay, 413, 415, InvalidRequest, DatabaseAway),
    openapi_extra=request_body(Explained, {}, required=False),
)
async def undo_replay(replay_id: str, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Take back what a replay has not started."""
    reason = (await given(request, Explained)).reason
    return json_response(_view(replay_of(await parts.replayer.undo(caller, _id_of(replay_id), reason))))


def _id_of(text: str) -> UUID:
    found = id_of(text)
    if found is None:
        raise UnknownReplay
    return found


def _view(replay: ReplaySoFar) -> dict[str, Any]:
    return {
        "id": str(replay.id),
        "requested_at": moment(replay.requested_at),
        "filter": replay.wanted,
        "rate_per_second": replay.rate_per_second,
        "matched": replay.matched,
        "tasks": replay.tasks,
        "last_due_at": moment(replay.last_due_at),
        "states": replay.states,
    }
