"""Error groups: look at them, and say that one is mended, need not be told, or is to be looked at after all."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from pointsman_service.admit.moments import Moment
from pointsman_service.admit.numbers import WHOLE
from pointsman_service.api.answers.answer import json_response
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.errors.view import (
    EXAMPLE_PAGE,
    EXAMPLE_WHOLE,
    ErrorGroupList,
    ErrorGroupWhole,
    page_view,
    whole_view,
)
from pointsman_service.api.parts import GivenCaller, GivenParts, Parts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.problems.translation import in_time
from pointsman_service.api.requests.filters import refuse_unknown
from pointsman_service.api.requests.given import Action, Name, Reason, given, request_body
from pointsman_service.api.requests.ids import Id
from pointsman_service.api.requests.parameters import bounded, known_parameters_only, storable
from pointsman_service.errors import (
    BodyTooLarge,
    DatabaseAway,
    FieldError,
    InvalidRequest,
    MalformedJson,
    Unavailable,
    UnknownErrorGroup,
    UnsupportedMediaType,
)
from pointsman_service.failures.standing import GroupState
from pointsman_service.observe import errors
from pointsman_service.operate.act import once_done
from pointsman_service.store import clock
from pointsman_service.store.errors.judging import IgnoreLimit
from pointsman_service.store.errors.reading import GroupFilter, begin_of_window

router = APIRouter(tags=["errors"], dependencies=[Depends(known_parameters_only)])

_MOST = 200
_DAY = 86_400.0
_LONGEST_WINDOW_SECONDS = 31 * _DAY
_MOST_AN_HOUR = 10**9
_MOST_OCCURRENCES = 10**12
_CURSOR_PATTERN = r"^[0-9]{1,18}\.[0-9a-f]{32}$"

GroupId = Annotated[Id, Path(description="The id of an error group.")]
Window = Annotated[
    float,
    Query(
        ge=60,
        le=_LONGEST_WINDOW_SECONDS,
        description="How far back is counted: up to two hours by minutes, up to four days by hours, else by days.",
    ),
]


class Resolve(Action):
    """That it is mended, and why."""

    reason: Reason | None = Field(default=None, description="Shown with the group.")
    who: Name | None = Field(default=None, description="Who says so; default: the caller.")


class Reopen(Resolve):
    """That somebody has to look at it after all."""


class Ignore(Action):
    """That nobody wants to hear of it: until a moment, a rate or a number, whichever comes first; without any, until
    somebody reopens it.
    """

    reason: Reason = Field(description="Shown with the group.")
    who: Name | None = Field(default=None, description="Who says so; default: the caller.")
    until: Moment | None = Field(
        default=None, description="What fails so after this moment, which is in the future, opens it again."
    )
    per_hour: Annotated[int, Field(ge=1, le=_MOST_AN_HOUR), WHOLE] | None = Field(
        default=None, description="More failures within an hour open it again."
    )
    count: Annotated[int, Field(ge=1, le=_MOST_OCCURRENCES), WHOLE] | None = Field(
        default=None, description="More failures from now on open it again."
    )


_PROBLEMS = (MalformedJson, UnknownErrorGroup, BodyTooLarge, UnsupportedMediaType, InvalidRequest, DatabaseAway)


@router.get(
    "/v1/errors",
    operation_id="list_errors",
    summary="List errors by their cause",
    description=(
        "Failures with one cause are one group: those that failed within the window, what changed last first, or with"
        " `order=most` what fails most. A group counts each attempt that failed (`count`) and each task that failed for"
        " good (`failed_tasks`); what its worker's end interrupted, and what failed because it was to be cancelled,"
        " counts for none. The tasks of a group: `GET /v1/tasks?error_group=…`; run the failed ones again with"
        " `POST /v1/tasks/retry`, and end those that wait for their next attempt with `POST /v1/tasks/cancel`."
    ),
    response_model=ErrorGroupList,
    responses=example(EXAMPLE_PAGE, "A page.") | problem_responses(InvalidRequest, DatabaseAway, Unavailable),
)
async def list_errors(
    parts: GivenParts,
    state: Annotated[GroupState | None, Query(description="Only groups in this state.")] = None,
    task_type: Annotated[str | None, Query(max_length=200, description="Only of this type.")] = None,
    error_type: Annotated[str | None, Query(max_length=300, description="Only of this error.")] = None,
    queue: Annotated[str | None, Query(max_length=63, description="Only what failed on this queue.")] = None,
    window_seconds: Window = _DAY,
    order: Annotated[Literal["changed", "most"], Query(description="What comes first.")] = "changed",
    limit: Annotated[int, Query(ge=1, le=_MOST, description="Groups on a page.")] = 50,
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the page before.", pattern=_CURSOR_PATTERN)
    ] = None,
) -> Response:
    """A page of groups."""
    faults: list[FieldError] = []
    task_type, error_type = storable("task_type", task_type, faults), storable("error_type", error_type, faults)
    queue = storable("queue", queue, faults)
    if faults:
        raise InvalidRequest(errors=faults)
    async with in_time("narrow it, best by window_seconds"), parts.store.statement() as connection:
        now = datetime.fromtimestamp(await clock.now(connection), UTC)
        since, step = begin_of_window(now, window_seconds)
        wanted = GroupFilter(
            since=since,
            step_seconds=step,
            state=state,
            task_type=task_type,
            error_type=error_type,
            queue=queue,
            most_first=order == "most",
            after=_after(cursor),
        )
        found = await errors.page(connection, wanted, limit, now)
    if not found.groups and cursor is None:
        await refuse_unknown(parts, queue=queue, task_type=task_type)
    return json_response(page_view(found))


@router.get(
    "/v1/errors/{error_id}",
    operation_id="get_error",
    summary="Get an error group",
    response_model=ErrorGroupWhole,
    responses=example(EXAMPLE_WHOLE, "The group.") | problem_responses(UnknownErrorGroup, InvalidRequest, DatabaseAway),
)
async def get_error(error_id: GroupId, parts: GivenParts, window_seconds: Window = _DAY) -> Response:
    """One group."""
    return await _answer(parts, error_id, window_seconds)


def _judges(model: type[BaseModel], said: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return {
        "response_model": ErrorGroupWhole,
        "responses": example(EXAMPLE_WHOLE, "The group afterwards.") | problem_responses(*_PROBLEMS),
        "openapi_extra": request_body(model, said, required=required),
    }


@router.post(
    "/v1/errors/{error_id}/resolve",
    operation_id="resolve_error",
    summary="Say that an error is mended",
    description="What fails so after this moment opens it again: it is back again, and told like a new one.",
    **_judges(Resolve, {"reason": "their address is right now", "who": "ada"}, required=False),
)
async def resolve_error(error_id: GroupId, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Say of a group that it is mended."""
    said = await given(request, Resolve)
    await parts.error_hand.set_state(caller, error_id, GroupState.RESOLVED, said.reason, said.who)
    async with once_done():
        return await _answer(parts, error_id, _DAY)


@router.post(
    "/v1/errors/{error_id}/ignore",
    operation_id="ignore_error",
    summary="Ignore an error within a limit",
    description=(
        "Nobody is told of it until its limit is passed; its failures are counted all the same, and its tasks stay what"
        " they are. One that is ignored already gets the new limit."
    ),
    **_judges(Ignore, {"reason": "their maintenance", "until": "2036-11-29T06:00:00Z", "per_hour": 100}, required=True),
)
async def ignore_error(error_id: GroupId, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Let nobody be told of a group within a limit."""
    said = await given(request, Ignore, required=True)
    until = bounded(said.until)
    if until is not None and until <= datetime.now(UTC):
        raise InvalidRequest(errors=[FieldError(pointer="/until", detail="must be in the future")])
    limit = IgnoreLimit(until, said.per_hour, said.count)
    await parts.error_hand.set_state(caller, error_id, GroupState.IGNORED, said.reason, said.who, limit)
    async with once_done():
        return await _answer(parts, error_id, _DAY)


@router.post(
    "/v1/errors/{error_id}/reopen",
    operation_id="reopen_error",
    summary="Open an error again",
    description="One that was resolved or is ignored is to be looked at after all. That is no news: nobody is told.",
    **_judges(Reopen, {"reason": "it is not mended", "who": "ada"}, required=False),
)
async def reopen_error(error_id: GroupId, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Open a group again."""
    said = await given(request, Reopen)
    await parts.error_hand.set_state(caller, error_id, GroupState.OPEN, said.reason, said.who)
    async with once_done():
        return await _answer(parts, error_id, _DAY)


async def _answer(parts: Parts, error_id: UUID, window_seconds: float) -> Response:
    async with parts.store.statement() as connection:
        now = datetime.fromtimestamp(await clock.now(connection), UTC)
        return json_response(whole_view(await errors.find(connection, error_id, now, window_seconds)))


def _after(cursor: str | None) -> tuple[int, UUID] | None:
    if cursor is None:
        return None
    place, _, group = cursor.partition(".")
    return int(place), UUID(hex=group)
