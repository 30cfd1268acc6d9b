"""Tasks as they change: server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response
from pydantic_core import to_json
from starlette.responses import StreamingResponse

from pointsman_service.api.answers.answer import moment_of
from pointsman_service.api.answers.event_stream import HEADERS, MEDIA_TYPE, KeepAlive, event, opening
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.filters import readings_of_tags, refuse_unknown
from pointsman_service.api.requests.parameters import known_parameters_only, storable
from pointsman_service.api.requests.rights import check_payload_filter
from pointsman_service.api.tasks.change_view import (
    EXAMPLE_CHANGE,
    EXAMPLE_TOLD,
    change_json,
    told_json,
    version_of,
)
from pointsman_service.api.tasks.parameters import (
    Linked,
    OfCaller,
    OfError,
    OfErrorGroup,
    OfQueue,
    OfState,
    OfTags,
    OfTasks,
    OfType,
    OfWorker,
)
from pointsman_service.api.tasks.routes import task_id_of
from pointsman_service.errors import (
    DatabaseAway,
    FieldError,
    InvalidRequest,
    LinkExpired,
    TooManyListeners,
    UnknownTask,
)
from pointsman_service.live.changes import ChangeStream
from pointsman_service.live.task_changes import TaskChange, TaskListener, TaskMatch, Told
from pointsman_service.live.watches import TaskWatch
from pointsman_service.store.changes import MARK_LENGTH, MARK_PATTERN, Mark
from pointsman_service.store.tasks import following

router = APIRouter(tags=["tasks"], dependencies=[Depends(known_parameters_only)])

_LOOK_SECONDS = 2.5
"""Between two looks whether a stream is stale, or still there."""
_EXAMPLE_OF_A_TASK = event("task", to_json(EXAMPLE_CHANGE), "9f3c51aa02b7d4e6").decode()
_EXAMPLE_OF_TASKS = event("tasks", to_json(EXAMPLE_TOLD), "1764318066100000.88121.88121").decode()


def _streamed(description: str, example: str) -> dict[int | str, dict[str, Any]]:
    return {
        200: {
            "description": description,
            "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": example}},
        }
    }


@router.get(
    "/v1/tasks/events",
    operation_id="stream_tasks",
    summary="Listen to tasks",
    description=(
        "Server-sent events (WHATWG HTML) of all tasks, or of those that meet the filter as they are after a change. At"
        " most two a second: each `tasks` has what changed since the one before, each task once and as it is now, so"
        " that a state which lasted shorter may not be seen. It begins now (`begin`), or where `Last-Event-ID` left"
        " off: `reset` says that this is no longer known, after two minutes, or after one in which nobody listened."
        " Then, and at first, look at the list. `stale`: the database does not answer; `live`: it does again."
    ),
    response_class=StreamingResponse,
    responses={
        **problem_responses(InvalidRequest, DatabaseAway, TooManyListeners),
        **_streamed("A stream without an end.", _EXAMPLE_OF_TASKS),
    },
)
async def stream_tasks(
    parts: GivenParts,
    asks: GivenCaller,
    state: OfState = None,
    queue: OfQueue = None,
    task_type: OfType = None,
    caller: OfCaller = None,
    worker: OfWorker = None,
    error_type: OfError = None,
    error_group: OfErrorGroup = None,
    tag: OfTags = None,
    task_id: OfTasks = None,
    last_event_id: Annotated[
        str | None,
        Header(max_length=MARK_LENGTH, pattern=MARK_PATTERN, description="The id of the last event that was seen."),
    ] = None,
) -> Response:
    """A stream of tasks."""
    check_payload_filter(asks, tag)
    faults: list[FieldError] = []
    match = TaskMatch(
        state=state,
        queue=storable("queue", queue, faults),
        task_type=storable("task_type", task_type, faults),
        caller=storable("caller", caller, faults),
        worker=storable("worker", worker, faults),
        error_type=storable("error_type", error_type, faults),
        error_group=error_group,
        tags=tuple(
            tuple(pair for reading in readings for pair in reading.items())
            for readings in readings_of_tags(tag or [], faults)
        ),
        ids=frozenset(task_id or ()),
    )
    after = None if last_event_id is None else Mark.from_text(last_event_id)
    if last_event_id is not None and after is None:
        faults.append(FieldError(pointer="/header/Last-Event-ID", detail="is not the id of an event of this stream"))
    if faults:
        raise InvalidRequest(errors=faults)
    await refuse_unknown(parts, queue=queue, task_type=task_type)
    listener = await parts.changes.follow(match, after, asks)
    return StreamingResponse(
        _tasks(parts.changes, listener, asks.reads_payloads), media_type=MEDIA_TYPE, headers=HEADERS
    )


@router.get(
    "/v1/tasks/{task_id}/events",
    operation_id="stream_task",
    summary="Listen to a task",
    description=(
        "Server-sent events (WHATWG HTML): `task` at once with the task as it is, then with each change of its state"
        " and its progress, at most two a second. After its end, which is always told, the stream ends. Whoever comes"
        " back with the `Last-Event-ID` of that is answered 204, and an `EventSource` then stays away."
    ),
    response_class=StreamingResponse,
    responses={
        **problem_responses(UnknownTask, LinkExpired, InvalidRequest, DatabaseAway, TooManyListeners),
        **_streamed("A stream that ends with the task.", _EXAMPLE_OF_A_TASK),
        204: {"description": "The task has ended, and `Last-Event-ID` says so already."},
    },
)
async def stream_task(
    task_id: str,
    parts: GivenParts,
    asks: GivenCaller,
    last_event_id: Annotated[
        str | None, Header(max_length=MARK_LENGTH, description="The id of the last event that was seen.")
    ] = None,
    sig: Linked = None,  # noqa: ARG001 - who comes with a link was known by it before
) -> Response:
    """A stream of one task."""
    wanted = task_id_of(task_id)
    async with parts.store.statement() as connection:
        found = await following.tasks(connection, [wanted])
    if not found:
        raise UnknownTask
    change = TaskChange(found[0])
    if change.is_terminal and last_event_id == version_of(change, reads_payloads=asks.reads_payloads):
        return Response(status_code=204)
    watch = parts.changes.watch(wanted, caller=asks)
    told = _task(parts.changes, watch, last_event_id, asks.reads_payloads)
    return StreamingResponse(told, media_type=MEDIA_TYPE, headers=HEADERS)


async def _task(stream: ChangeStream, watch: TaskWatch, seen: str | None, reads: bool) -> AsyncIterator[bytes]:
    quiet = _Quiet(stream)
    try:
        yield opening()
        while True:
            change = await watch.next(_LOOK_SECONDS)
            if change is None:
                if watch.over:
                    return
                if said := quiet.said(None):
                    yield said
                continue
            version = version_of(change, reads_payloads=reads)
            if version != seen:
                seen = version
                quiet.sent()
                yield event("task", change_json(change, reads_payloads=reads), version)
            if change.is_terminal:
                return
    finally:
        stream.leave(watch)


async def _tasks(stream: ChangeStream, listener: TaskListener, reads: bool) -> AsyncIterator[bytes]:
    quiet = _Quiet(stream)
    try:
        yield opening()
        mark = stream.mark_of(listener)
        if mark is not None:
            yield event("begin", b'{"as_of":%b}' % to_json(moment_of(mark.at)), mark.text)
        while True:
            told = await listener.next(_LOOK_SECONDS)
            if told is None:
                if listener.over:
                    return
                if said := quiet.said(stream.mark_of(listener)):
                    yield said
                continue
            quiet.sent()
            if told.reset:
                as_of = b'{"as_of":%b}' % to_json(moment_of(told.mark.at))
                yield event("reset", as_of, None if told.changes or told.left_out else told.mark.text)
            if told.changes or told.left_out:
                yield told.once(_as_event) if reads else _as_event(told, reads_payloads=False)
    finally:
        stream.leave(listener)


def _as_event(told: Told, *, reads_payloads: bool = True) -> bytes:
    return event("tasks", told_json(told, reads_payloads=reads_payloads), told.mark.text)


class _Quiet:
    """What is said while nothing changes: that the stream is there, and whether it can be believed."""

    def __init__(self, stream: ChangeStream) -> None:
        self._stream = stream
        self._keep_alive = KeepAlive()
        self._stale = False

    def sent(self) -> None:
        """Something was told, so it is not stale."""
        self._stale = False
        self._keep_alive.sent()

    def said(self, mark: Mark | None) -> bytes:
        """What is to be said now, if anything."""
        if self._stream.is_stale != self._stale:
            self._stale = not self._stale
            self._keep_alive.sent()
            return event("stale" if self._stale else "live", b"{}")
        return self._keep_alive.due(None if mark is None else mark.text)
