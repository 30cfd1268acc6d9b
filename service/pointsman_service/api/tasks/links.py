"""Links that open one task."""

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.access.links import PARAMETER
from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.given import Explained, given, request_body
from pointsman_service.api.requests.origin import origin_of
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.api.tasks.routes import task_id_of
from pointsman_service.api.tasks.view import EXAMPLE_TASK
from pointsman_service.errors import (
    BodyTooLarge,
    DatabaseAway,
    InvalidRequest,
    MalformedJson,
    UnknownTask,
    UnsupportedMediaType,
)

router = APIRouter(tags=["tasks"], dependencies=[Depends(known_parameters_only)])

_SECONDS = 3600.0
_LONGEST_SECONDS = 30 * 86_400.0
_SHARED = "admin/tasks/dashboard/shared"
_EXAMPLE_TEXT = "AQAAAAAAaSrFgAGiAnHIEXGlmcBRD94ipX1b0cZ2mVw8bqk2nHc0s3vX9d1rT5yLQ7uKf4jG2aE"
_ORIGIN = "https://pointsman.example.org"


class ShareTask(Explained):
    """How long the link opens the task, and how much of it."""

    expires_in_seconds: float | None = Field(
        default=None,
        gt=0,
        le=_LONGEST_SECONDS,
        description="Null: an hour. At most `POINTSMAN_LINK_SECONDS`.",
    )
    payload: bool = Field(
        default=False,
        description="Whether it shows arguments, result, tags, progress and messages of errors. Takes `payload:read`.",
    )


class TaskLink(BaseModel):
    """A link that was made."""

    url: str = Field(description="A page of the task for people.")
    api_url: str = Field(description="The task as JSON. With `/events` after the id, its events.")
    payload: bool
    expires_at: AwareDatetime


@router.post(
    "/v1/tasks/{task_id}/links",
    operation_id="share_task",
    summary="Make a link that opens a task",
    description=(
        "For the end user whose task it is: whoever has the link reads this task without a key, as JSON (also with"
        " `Prefer: wait`), as events, and as a page, until it expires. It shows no more than its maker may see, ends"
        " with the key that it was made with, and changes nothing. Revoking the key `_links` ends every link."
    ),
    status_code=201,
    response_model=TaskLink,
    responses=example(
        {
            "url": f"{_ORIGIN}/{_SHARED}/{EXAMPLE_TASK['id']}?{PARAMETER}={_EXAMPLE_TEXT}",
            "api_url": f"{_ORIGIN}/v1/tasks/{EXAMPLE_TASK['id']}?{PARAMETER}={_EXAMPLE_TEXT}",
            "payload": False,
            "expires_at": "2026-11-29T10:00:00Z",
        },
        "The link. Nobody can read it again.",
        201,
    )
    | problem_responses(UnknownTask, InvalidRequest, MalformedJson, BodyTooLarge, UnsupportedMediaType, DatabaseAway),
    openapi_extra=request_body(ShareTask, {"expires_in_seconds": 900}, required=False),
)
async def share_task(task_id: str, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Make a link."""
    said = await given(request, ShareTask)
    seconds = min(_SECONDS, parts.sharer.most_seconds) if said.expires_in_seconds is None else said.expires_in_seconds
    wanted = task_id_of(task_id)
    link = await parts.sharer.share(caller, wanted, seconds, said.reason, payloads=said.payload)
    base, query = origin_of(request.scope, parts.settings), f"?{PARAMETER}={link.text}"
    body = {
        "url": f"{base}/{_SHARED}/{wanted}{query}",
        "api_url": f"{base}/v1/tasks/{wanted}{query}",
        "payload": link.payloads,
        "expires_at": moment(link.expires_at),
    }
    return json_response(body, 201, {"Cache-Control": "no-store"})
