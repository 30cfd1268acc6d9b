"""Look at tasks."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.admit.moments import Moment
from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenParts, caller_of
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.problems.translation import in_time
from pointsman_service.api.requests.filters import LONGEST_HELD_REASON, MOST_ATTEMPTS, readings_of_tags, refuse_unknown
from pointsman_service.api.requests.ids import id_of
from pointsman_service.api.requests.parameters import bounded, known_parameters_only, storable
from pointsman_service.api.requests.positions import CURSOR_PATTERN, cursor_after, position_of
from pointsman_service.api.requests.preferences import APPLIED_HEADER, prefer_wait
from pointsman_service.api.requests.rights import check_payload_filter
from pointsman_service.api.tasks.awaiting import row_when_ended
from pointsman_service.api.tasks.parameters import (
    Linked,
    Named,
    OfCaller,
    OfErrorAtEnd,
    OfErrorGroup,
    OfFairnessKey,
    OfQueue,
    OfState,
    OfTags,
    OfType,
    OfWorker,
)
from pointsman_service.api.tasks.view import EXAMPLE_TASK, TaskView, task_view
from pointsman_service.api.tasks.waiting import waiting_view
from pointsman_service.errors import (
    DatabaseAway,
    FieldError,
    InvalidRequest,
    LinkExpired,
    TooManyReaders,
    Unavailable,
    UnknownTask,
)
from pointsman_service.store.tasks import reading
from pointsman_service.store.tasks.listing import page_of, page_of_named
from pointsman_service.store.tasks.pages import Page, Position, Sort
from pointsman_service.store.tasks.reading import TaskFilter

router = APIRouter(tags=["tasks"], dependencies=[Depends(known_parameters_only)])

MOST = 200


_PREFER = prefer_wait(
    "`wait=10`: answer when the task has ended, at once if it has, or after so many seconds with the task as it is"
    " then; at most `POINTSMAN_WAIT_SECONDS`. `Preference-Applied` says how long it would have waited."
)


class TaskList(BaseModel):
    """A page of tasks, newest first."""

    items: list[TaskView]
    next_cursor: str | None = Field(description="For `cursor=`; null on the last page.")
    searched_until: AwareDatetime | None = Field(
        description="Null unless the page ended before it was full, because so few tasks meet the filter: it has looked"
        " at what was submitted (with `sort=finished`: what ended) at this moment or later. `next_cursor` looks on,"
        " also when `items` is empty."
    )


@router.get(
    "/v1/tasks/{task_id}",
    operation_id="get_task",
    summary="Get a task",
    description="A task that is answered 202 is found here from then on, until its retention ends. With"
    " `Prefer: wait=10` it answers once the task has ended.",
    response_model=TaskView,
    responses=problem_responses(UnknownTask, LinkExpired, InvalidRequest, DatabaseAway)
    | {200: example(EXAMPLE_TASK, "The task.")[200] | {"headers": APPLIED_HEADER}},
    openapi_extra={"parameters": [_PREFER]},
)
async def get_task(task_id: str, request: Request, parts: GivenParts, sig: Linked = None) -> Response:  # noqa: ARG001
    """One task. Who comes with a link was known by it before."""
    row, applied = await row_when_ended(parts, request.scope, await find_task(parts, task_id))
    if row is None:
        raise UnknownTask
    return json_response(await waiting_view(parts, row), headers=applied)


@router.get(
    "/v1/tasks",
    operation_id="list_tasks",
    summary="List tasks",
    description='Newest first. Follow `next_cursor`, or the `Link` header with `rel="next"`.'
    " A page looks for a few hundredths of a second: where few tasks meet the filter it may end before it is full, and"
    " says in `searched_until` how far it has looked. What is too long for a list is named in `cut`, and whole only by"
    " id.",
    response_model=TaskList,
    responses=example(
        {"items": [EXAMPLE_TASK], "next_cursor": "AaICccgRcaWZwFEP3iKlfQ", "searched_until": None}, "A page."
    )
    | problem_responses(InvalidRequest, DatabaseAway, TooManyReaders, Unavailable),
)
async def list_tasks(
    request: Request,
    parts: GivenParts,
    task_id: Named = None,
    state: OfState = None,
    queue: OfQueue = None,
    task_type: OfType = None,
    caller: OfCaller = None,
    fairness_key: OfFairnessKey = None,
    worker: OfWorker = None,
    held_reason: Annotated[
        str | None,
        Query(
            max_length=LONGEST_HELD_REASON,
            description="Only tasks that are held for this: `breaker:<scope>:<name>`, `unknown_task_type` or"
            " `quarantine`, as tasks show it.",
        ),
    ] = None,
    attempts: Annotated[
        int | None, Query(ge=0, le=MOST_ATTEMPTS, description="Only tasks of which exactly so many attempts started.")
    ] = None,
    attempts_at_least: Annotated[
        int | None, Query(ge=0, le=MOST_ATTEMPTS, description="Only tasks of which so many attempts started, or more.")
    ] = None,
    error_type: OfErrorAtEnd = None,
    error_group: OfErrorGroup = None,
    error_message: Annotated[
        str | None,
        Query(
            min_length=3,
            max_length=200,
            description="Only ended tasks with this text in the message of their error, whatever its case. No pattern.",
        ),
    ] = None,
    replayed: Annotated[
        bool | None, Query(description="True: only ended tasks that were run again as another; false: none of them.")
    ] = None,
    tag: OfTags = None,
    submitted_after: Annotated[Moment | None, Query(description="Submitted at this moment or later.")] = None,
    submitted_before: Annotated[Moment | None, Query(description="Submitted before this moment.")] = None,
    finished_after: Annotated[Moment | None, Query(description="Ended at this moment or later.")] = None,
    finished_before: Annotated[Moment | None, Query(description="Ended before this moment.")] = None,
    sort: Annotated[
        Sort,
        Query(
            description="`submitted`: by submission; `finished`: by end, without tasks that have not ended. With a"
            " `cursor` its order counts."
        ),
    ] = Sort.SUBMITTED,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Tasks on a page.")] = 50,
    cursor: Annotated[
        str | None,
        Query(
            description="`next_cursor` of the page before.",
            json_schema_extra={"pattern": CURSOR_PATTERN},
        ),
    ] = None,
) -> Response:
    """A page of tasks."""
    check_payload_filter(caller_of(request), tag, error_message, fairness_key)
    faults: list[FieldError] = []
    wanted = TaskFilter(
        state=state,
        queue=storable("queue", queue, faults),
        task_type=storable("task_type", task_type, faults),
        caller=storable("caller", caller, faults),
        fairness_key=storable("fairness_key", fairness_key, faults),
        worker=storable("worker", worker, faults),
        held_reason=storable("held_reason", held_reason, faults),
        attempts=attempts,
        attempts_at_least=attempts_at_least,
        error_type=storable("error_type", error_type, faults),
        error_group=error_group,
        error_message=storable("error_message", error_message, faults),
        replayed=replayed,
        tags=readings_of_tags(tag or [], faults),
        submitted_after=bounded(submitted_after),
        submitted_before=bounded(submitted_before),
        finished_after=bounded(finished_after),
        finished_before=bounded(finished_before),
    )
    after = _after(cursor, faults)
    if faults:
        raise InvalidRequest(errors=faults)
    order = sort if after is None else after.sort
    if task_id is not None:
        page = await page_of_named(parts.store, wanted, task_id, after, order)
        if not page.rows:
            await refuse_unknown(parts, queue=queue, task_type=task_type)
        return _answer(request, page)
    async with parts.pages.place():
        async with in_time("narrow it, best by submitted_after"):
            page = await page_of(parts.store, wanted, limit, after, order)
        if not page.rows and page.following is None and cursor is None:
            await refuse_unknown(parts, queue=queue, task_type=task_type)
        return _answer(request, page)


def task_id_of(text: str) -> UUID:
    """The id in a path. Raises ``UnknownTask`` for what is no id."""
    found = id_of(text)
    if found is None:
        raise UnknownTask
    return found


async def find_task(parts: GivenParts, task_id: str) -> Mapping[str, Any]:
    """The row of a task. Raises ``UnknownTask``, also for what is no id."""
    wanted = task_id_of(task_id)
    async with parts.store.statement() as connection:
        row = await reading.task(connection, wanted)
    if row is None:
        raise UnknownTask
    return row


def _answer(request: Request, page: Page) -> Response:
    following = None if page.following is None else cursor_after(page.following)
    headers = {}
    if following is not None:
        kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        headers["Link"] = f'<{request.url.path}?{urlencode([*kept, ("cursor", following)])}>; rel="next"'
    body = {
        "items": [task_view(row) for row in page.rows],
        "next_cursor": following,
        "searched_until": moment(page.searched_until),
    }
    return json_response(body, headers=headers)


def _after(cursor: str | None, faults: list[FieldError]) -> Position | None:
    if cursor is None:
        return None
    found = position_of(cursor)
    if found is None:
        faults.append(FieldError(pointer="/query/cursor", detail="is not a cursor of this list"))
    return found
