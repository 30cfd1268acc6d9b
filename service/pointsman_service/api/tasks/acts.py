"""See how far acts on many tasks are, and take back what has not started."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.answers.payloads import Payload
from pointsman_service.api.documentation.examples import example, with_nulls
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.given import Explained, given, request_body
from pointsman_service.api.requests.ids import Cursor, id_of
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.errors import DatabaseAway, InvalidRequest, UnknownTaskAct
from pointsman_service.operate.act_on_many import Progress
from pointsman_service.store.tasks.acts import TaskAct

router = APIRouter(tags=["tasks"], dependencies=[Depends(known_parameters_only)])

EXAMPLE_ID = "01a20273-5f60-7d0e-9c3e-6a3f2a4c7b12"
_LISTED: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "kind": "cancel",
    "stage": "done",
    "requested_at": "2026-11-22T09:30:00.135000Z",
    "requested_by": "local",
    "reason": "sent by mistake",
    "filter": {"queue": "email", "tags": {"campaign": "spring"}},
    "submitted_before": "2026-11-22T09:30:00.134000Z",
    "limit": None,
    "at_most": 20_000,
    "rate_per_second": None,
    "end_running": False,
    "looked_at": 40_000,
    "matched": 20_000,
    "tasks": 20_000,
    "last_due_at": None,
    "put_back": 0,
}
EXAMPLE_ACT = _LISTED | {"pending": 0, "states": {"cancelled": 19_998, "running": 2}}


def _without_payloads(view: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in view["filter"].items() if name not in ("tags", "error_message")}


class ListedTaskAct(BaseModel):
    """An act on the tasks that a filter finds."""

    id: str
    kind: Literal["cancel", "retry"]
    stage: Literal["walking", "done", "undoing", "undone"] = Field(
        description="`walking`: it has not looked at all tasks yet; `undoing`: some are still to be taken back."
    )
    requested_at: AwareDatetime
    requested_by: str
    reason: str | None
    filter: Annotated[dict[str, Any], Payload(made=_without_payloads)]
    submitted_before: AwareDatetime = Field(description="What was submitted then or later is not touched.")
    limit: int | None = Field(
        description="It goes no further than the oldest so many; null also when `at_most` is less."
    )
    at_most: int | None = Field(description="It would have been refused if there were more, and acts on no more.")
    rate_per_second: float | None
    end_running: bool = Field(description="Of a cancel: whether what runs is ended, too.")
    looked_at: int = Field(description="Tasks that it has looked at.")
    matched: int = Field(description="Those of them that the filter finds.")
    tasks: int = Field(description="Those that it asked an end of, or ran again.")
    last_due_at: AwareDatetime | None = Field(description="Of a retry: when the last of its tasks is due.")
    put_back: int = Field(description="Those that an undo has put back.")


class TaskActView(ListedTaskAct):
    """One act, and what has become of its tasks."""

    model_config = ConfigDict(json_schema_extra={"examples": [with_nulls(EXAMPLE_ACT)]})

    pending: int = Field(description="Of a cancel: tasks that have not ended yet; 10000 stands for more.")
    states: dict[str, int] | None = Field(
        description="Its tasks by state: of a retry the new ones. One that started before a cancel reached it goes on,"
        " and is shown so. Null for an act on more than 50000."
    )


class TaskActList(BaseModel):
    """A page of acts."""

    items: list[ListedTaskAct]
    next_cursor: str | None


@router.get(
    "/v1/task-acts",
    operation_id="list_task_acts",
    summary="List acts on many tasks",
    description="Newest first: what was cancelled or run again by a filter. Replays have a list of their own.",
    response_model=TaskActList,
    responses=example({"items": [_LISTED], "next_cursor": EXAMPLE_ID}, "A page.")
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def list_task_acts(
    parts: GivenParts,
    limit: Annotated[int, Query(ge=1, le=50, description="Acts on a page.")] = 20,
    cursor: Cursor = None,
) -> Response:
    """A page of acts on many tasks."""
    found = await parts.many.newest(cursor, limit + 1)
    following = str(found[limit - 1].id) if len(found) > limit else None
    return json_response({"items": [_listed(act) for act in found[:limit]], "next_cursor": following})


@router.get(
    "/v1/task-acts/{act_id}",
    operation_id="get_task_act",
    summary="See how far an act on many tasks is",
    response_model=TaskActView,
    responses=example(EXAMPLE_ACT, "The act.") | problem_responses(UnknownTaskAct, InvalidRequest, DatabaseAway),
)
async def get_task_act(act_id: str, parts: GivenParts) -> Response:
    """One act on many tasks."""
    return json_response(task_act_view(await parts.many.find(_id_of(act_id))))


@router.post(
    "/v1/task-acts/{act_id}/stop",
    operation_id="stop_task_act",
    summary="Let an act on many tasks go no further",
    description="An act that is `walking` is `done` with what it has done so far; of any other nothing changes. Of a"
    " retry with a rate, tasks that it has made already become due as they would: an undo takes back those.",
    response_model=TaskActView,
    responses=example(EXAMPLE_ACT | {"tasks": 4_000, "matched": 4_000}, "The act.")
    | problem_responses(400, UnknownTaskAct, 413, 415, InvalidRequest, DatabaseAway),
    openapi_extra=request_body(Explained, {"reason": "that was too many"}, required=False),
)
async def stop_task_act(act_id: str, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Let an act go no further."""
    reason = (await given(request, Explained)).reason
    return json_response(task_act_view(await parts.many.stop(caller, _id_of(act_id), reason)))


@router.post(
    "/v1/task-acts/{act_id}/undo",
    operation_id="undo_task_act",
    summary="Take back what an act on many tasks has done",
    description=(
        "Of a cancel: those of its tasks that had never started run again, each as a new task that names it in"
        " `replayed_from`, with the due time and the `expires_at` that it had. What had started once, or was run again"
        " meanwhile, is not put back. Of a retry: its new tasks that have not started end as `cancelled` for good, and"
        " what they were made from may be run again. An act that is still `walking` goes no further. Some may take"
        " longer, while Redis is away or the recorder is behind: then it is `undoing`, and goes on by itself."
    ),
    response_model=TaskActView,
    responses=example(EXAMPLE_ACT | {"stage": "undone", "put_back": 19_998}, "The act.")
    | problem_responses(400, UnknownTaskAct, 413, 415, InvalidRequest, DatabaseAway),
    openapi_extra=request_body(Explained, {"reason": "the wrong campaign"}, required=False),
)
async def undo_task_act(act_id: str, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Take back what an act on many tasks has not started."""
    reason = (await given(request, Explained)).reason
    return json_response(task_act_view(await parts.many.undo(caller, _id_of(act_id), reason)))


def _id_of(text: str) -> UUID:
    found = id_of(text)
    if found is None:
        raise UnknownTaskAct
    return found


def _listed(act: TaskAct) -> dict[str, Any]:
    return {
        "id": str(act.id),
        "kind": str(act.kind),
        "stage": str(act.stage),
        "requested_at": moment(act.requested_at),
        "requested_by": act.caller,
        "reason": act.reason,
        "filter": act.wanted,
        "submitted_before": moment(act.submitted_before),
        # Of both the smaller one ends the walk, and is kept.
        "limit": None if act.at_most is not None and act.most == act.at_most else act.most,
        "at_most": act.at_most,
        "rate_per_second": act.rate_per_second,
        "end_running": act.grace_seconds is not None,
        "looked_at": act.looked_at,
        "matched": act.matched,
        "tasks": act.tasks,
        "last_due_at": moment(act.last_due_at),
        "put_back": act.put_back,
    }


def task_act_view(progress: Progress) -> dict[str, Any]:
    """An act as it is answered."""
    return _listed(progress.act) | {"pending": progress.pending, "states": progress.states}
