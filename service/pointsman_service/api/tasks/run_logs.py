"""What the attempts of a task wrote: a page of it, and as it comes in."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.sse import format_sse_event
from pydantic import AwareDatetime, BaseModel, Field
from pydantic_core import to_json
from starlette.responses import StreamingResponse

from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.api.tasks.routes import find_task
from pointsman_service.errors import DatabaseAway, InvalidRequest, TooManyListeners, UnknownTask
from pointsman_service.live.run_logs import LineListener, LineStream
from pointsman_service.observe.tasks.run_logs import START, LogLine, Position, page_of
from pointsman_service.store.tasks.run_logs import Written

router = APIRouter(tags=["tasks"], dependencies=[Depends(known_parameters_only)])

_MOST_LINES = 1000
_MOST_ATTEMPTS = 2**15 - 1
_POSITION = r"^[0-9]{1,18}\.[0-9]{1,10}$"
_KEEP_ALIVE_SECONDS = 15.0
_MEDIA_TYPE = "text/event-stream"
_EXAMPLE_LINE = {
    "attempt": 1,
    "number": 3,
    "at": "2026-11-22T08:30:00.136200Z",
    "level": "warning",
    "logger": "reports.annual",
    "text": "no figures for March",
}
_EXAMPLE = {
    "items": [_EXAMPLE_LINE],
    "next_cursor": None,
    "tail_cursor": "1042.3",
    "attempts": [{"attempt": 1, "written": 3, "kept": 3, "dropped": 0, "complete": True}],
}
_EXAMPLE_EVENT = format_sse_event(
    data_str=to_json({"items": [_EXAMPLE_LINE]}).decode(), event="lines", id="1042.3"
).decode()


class LineView(BaseModel):
    """One line that an attempt wrote."""

    attempt: int
    number: int = Field(description="Among all lines of its attempt, from 1. One that is missing is a line that went.")
    at: AwareDatetime = Field(description="By the worker's clock.")
    level: str = Field(description="As `logging` calls it, in lower case. Of what was printed: `info` or `warning`.")
    logger: str = Field(description="The logger's name; `stdout` or `stderr` of what was printed.")
    text: str = Field(description="With its traceback, where it was logged with one; at most 16 KiB.")


class WrittenView(BaseModel):
    """What is known of the lines of one attempt."""

    attempt: int
    written: int = Field(description="How many it wrote, as far as they have come in.")
    kept: int
    dropped: int = Field(description="How many went, the oldest first: 64 KiB are kept of an attempt.")
    complete: bool = Field(
        description="Whether these are its last lines. False while it runs, and when the last were lost with its worker"
        " or with Redis."
    )


class LineList(BaseModel):
    """A page of lines, in the order in which they came in."""

    items: list[LineView]
    next_cursor: str | None = Field(description="For `cursor=`; null on the last page.")
    tail_cursor: str = Field(description="For `cursor=`: what comes after this page, now or later.")
    attempts: list[WrittenView] = Field(
        description="Those of these lines, and the newest one, or that which was asked for, if it wrote anything."
    )


GivenAttempt = Annotated[
    int | None, Query(ge=1, le=_MOST_ATTEMPTS, description="Only what this attempt of the task wrote.")
]


@router.get(
    "/v1/tasks/{task_id}/logs",
    operation_id="list_log_lines",
    summary="Read what a task wrote",
    description="What its attempts wrote through `logging`, and printed, oldest first. It arrives while they run, a"
    " second later. Follow `next_cursor`; ask again with `tail_cursor` for what has come in since, or listen to"
    " `/v1/tasks/{task_id}/logs/events`. A task type may keep nothing, and so may a worker.",
    response_model=LineList,
    responses=example(_EXAMPLE, "A page.") | problem_responses(UnknownTask, InvalidRequest, DatabaseAway),
)
async def list_log_lines(
    task_id: str,
    parts: GivenParts,
    attempt: GivenAttempt = None,
    limit: Annotated[int, Query(ge=1, le=_MOST_LINES, description="Lines on a page.")] = 500,
    cursor: Annotated[
        str | None, Query(pattern=_POSITION, description="`next_cursor` or `tail_cursor` of the page before.")
    ] = None,
) -> Response:
    """A page of the lines of one task."""
    row = await find_task(parts, task_id)
    after = START if cursor is None else Position.of(cursor)
    async with parts.store.statement() as connection:
        page = await page_of(connection, row["id"], attempt, row["attempt"], after, limit)
    body = {
        "items": line_views(page.lines),
        "next_cursor": str(page.position) if page.following else None,
        "tail_cursor": str(page.position),
        "attempts": [_written_view(one) for one in page.attempts],
    }
    return json_response(body)


@router.get(
    "/v1/tasks/{task_id}/logs/events",
    operation_id="stream_log_lines",
    summary="Listen to what a task writes",
    description="Server-sent events (WHATWG HTML): first the lines that there are, then those that come in, some of"
    " them in each `lines`. `Last-Event-ID` goes on where a listener left off. When the task has ended and its last"
    " lines are told, `end` follows and the stream ends: whoever listens to a browser's `EventSource` closes it then.",
    response_class=StreamingResponse,
    responses={
        **problem_responses(UnknownTask, InvalidRequest, DatabaseAway, TooManyListeners),
        200: {
            "description": "A stream until the task has ended.",
            "content": {_MEDIA_TYPE: {"schema": {"type": "string"}, "example": _EXAMPLE_EVENT}},
        },
    },
)
async def stream_log_lines(
    task_id: str,
    parts: GivenParts,
    caller: GivenCaller,
    attempt: GivenAttempt = None,
    last_event_id: Annotated[
        str | None, Header(pattern=_POSITION, description="The id of the last event that was seen.")
    ] = None,
) -> StreamingResponse:
    """A stream of lines."""
    row = await find_task(parts, task_id)
    after = START if last_event_id is None else Position.of(last_event_id)
    listener = await parts.lines.listen(row["id"], attempt, after, caller)
    # A proxy that gathers what it passes on would keep lines from their listener.
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(parts.lines, listener), media_type=_MEDIA_TYPE, headers=headers)


async def _events(stream: LineStream, listener: LineListener) -> AsyncIterator[bytes]:
    yield format_sse_event(comment="listening")
    try:
        while (lines := await listener.next(_KEEP_ALIVE_SECONDS)) is not None:
            if not lines:
                yield format_sse_event(comment="")
                continue
            told = to_json({"items": line_views(lines)}).decode()
            yield format_sse_event(data_str=told, event="lines", id=str(lines[-1].position))
        if listener.is_over:
            yield format_sse_event(data_str="{}", event="end")
    finally:
        stream.leave(listener)


def line_views(lines: Sequence[LogLine]) -> list[dict[str, Any]]:
    """The fields of ``LineView`` for each line."""
    return [
        {
            "attempt": line.attempt,
            "number": line.number,
            "at": moment(line.at),
            "level": line.level,
            "logger": line.logger,
            "text": line.text,
        }
        for line in lines
    ]


def _written_view(one: Written) -> dict[str, Any]:
    return {
        "attempt": one.attempt,
        "written": one.written,
        "kept": one.kept,
        "dropped": one.written - one.kept,
        "complete": one.is_complete,
    }
