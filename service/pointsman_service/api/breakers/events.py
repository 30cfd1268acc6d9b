"""Circuit breakers as they change: server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from fastapi.sse import format_sse_event
from pydantic_core import to_json
from starlette.responses import StreamingResponse

from pointsman_service.api.answers.event_stream import HEADERS, KEEP_ALIVE_SECONDS, MEDIA_TYPE
from pointsman_service.api.answers.payloads import mask
from pointsman_service.api.breakers.view import EXAMPLE_TRANSITION, TransitionView, transition_view
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.errors import DatabaseAway, InvalidRequest, TooManyListeners
from pointsman_service.live.transitions import Listener, TransitionStream
from pointsman_service.observe.breakers import turn_of

router = APIRouter(tags=["breakers"], dependencies=[Depends(known_parameters_only)])

_EXAMPLE = format_sse_event(data_str=to_json(EXAMPLE_TRANSITION).decode(), event="transition", id="41").decode()


@router.get(
    "/v1/breakers/events",
    operation_id="stream_breaker_transitions",
    summary="Listen to circuit breakers",
    description=(
        "Server-sent events (WHATWG HTML): one `transition` for each change of state, its id rising. `Last-Event-ID`"
        " goes on where a listener left off; without it the stream begins now."
    ),
    response_class=StreamingResponse,
    responses={
        **problem_responses(InvalidRequest, DatabaseAway, TooManyListeners),
        200: {
            "description": "A stream without an end.",
            "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
    },
)
async def stream_transitions(
    parts: GivenParts,
    caller: GivenCaller,
    last_event_id: Annotated[
        str | None, Header(pattern=r"^[0-9]{1,18}$", description="The id of the last event that was seen.")
    ] = None,
) -> StreamingResponse:
    """A stream of transitions."""
    stream = parts.transitions
    listener = await stream.listen(None if last_event_id is None else int(last_event_id), caller)
    return StreamingResponse(_events(stream, listener, caller.reads_payloads), media_type=MEDIA_TYPE, headers=HEADERS)


async def _events(stream: TransitionStream, listener: Listener, reads_payloads: bool) -> AsyncIterator[bytes]:
    yield format_sse_event(comment="listening")
    try:
        while (rows := await listener.next(KEEP_ALIVE_SECONDS)) is not None:
            if not rows:
                yield format_sse_event(comment="")
            for row in rows:
                view = transition_view(turn_of(row))
                if not reads_payloads:
                    mask(TransitionView, view)
                yield format_sse_event(data_str=to_json(view).decode(), event="transition", id=str(row.id))
    finally:
        stream.leave(listener)
