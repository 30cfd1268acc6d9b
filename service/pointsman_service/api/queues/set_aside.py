"""Messages that no worker could run: look at them, discard them."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.api.answers.answer import json_response, plain
from pointsman_service.api.answers.payloads import Payload
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.given import Explained, given, request_body
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.errors import BrokerSilent, DatabaseAway, InvalidRequest
from pointsman_service.observe import set_aside
from pointsman_service.observe.set_aside import MOST_SHOWN

router = APIRouter(tags=["queues"], dependencies=[Depends(known_parameters_only)])

_ID = r"^[0-9]{1,18}-[0-9]{1,18}$"
_EXAMPLE: dict[str, Any] = {
    "id": "1795876607282-0",
    "set_aside_at": "2026-11-28T14:36:47.282000Z",
    "queue": "email",
    "reason": "its timelimit is no pair of seconds",
    "task_id": "6b0bdc9b-0f52-4f3c-8d8f-0e7c7a9a4c11",
    "task_type": "send_reminder_email",
    "bytes": 912,
    "text": '{"body": "W1tdLCB7fSwge31d", "headers": {"timelimit": 5}}',
    "end": None,
}


class SetAsideMessageView(BaseModel):
    """One message, as far as it is kept."""

    id: str
    set_aside_at: AwareDatetime
    queue: str = Field(description="Where it lay; `unknown` when nobody can say.")
    reason: str = Field(description="Why nobody can run it.")
    task_id: str | None = Field(description="As the message says it; nobody has checked it.")
    task_type: str | None
    bytes: int = Field(description="Length of the whole message.")
    text: Annotated[str, Payload("")] = Field(
        description="The message, of a long one its first 2 KiB. What is not printable is escaped."
    )
    end: Annotated[str | None, Payload()] = Field(description="Of a long one its last 2 KiB.")


class SetAsideMessageList(BaseModel):
    """The newest first."""

    items: list[SetAsideMessageView]
    next_cursor: str | None = Field(description="For `cursor=`; null on the last page.")


class Discard(Explained):
    """Up to which message."""

    through: str = Field(pattern=_ID, description="The `id` of the newest one that is to go; older ones go with it.")


class DiscardedView(BaseModel):
    """What is gone."""

    discarded: int
    left: int = Field(description="Set aside later than that.")


@router.get(
    "/v1/set-aside-messages",
    operation_id="list_set_aside_messages",
    summary="List messages that were set aside",
    description=(
        "What a worker fetched and nobody can run: no JSON, no task, a time limit that is none. The newest 1,000 are"
        " kept until they are discarded. A task of the control plane whose message is among them is sent again."
    ),
    response_model=SetAsideMessageList,
    responses=example({"items": [_EXAMPLE], "next_cursor": None}, "A page.")
    | problem_responses(InvalidRequest, BrokerSilent),
)
async def list_set_aside_messages(
    parts: GivenParts,
    limit: Annotated[int, Query(ge=1, le=MOST_SHOWN)] = 20,
    cursor: Annotated[str | None, Query(pattern=_ID, description="`next_cursor` of the page before.")] = None,
) -> Response:
    """A page of the messages that were set aside."""
    found = await set_aside.newest(parts.server, limit + 1, cursor)
    shown = found[:limit]
    next_cursor = shown[-1].id if len(found) > limit else None
    return json_response({"items": [plain(message) for message in shown], "next_cursor": next_cursor})


@router.post(
    "/v1/set-aside-messages/discard",
    operation_id="discard_set_aside_messages",
    summary="Discard messages that were set aside",
    description=(
        "Up to the one that is named, so that none goes that you have not seen. Asked again it does nothing more. Their"
        " alert ends when none is left."
    ),
    response_model=DiscardedView,
    responses=example({"discarded": 12, "left": 0}, "Discarded.")
    | problem_responses(400, 413, 415, InvalidRequest, BrokerSilent, DatabaseAway),
    openapi_extra=request_body(Discard, {"through": "1795876607282-0", "reason": "a script wrote them"}),
)
async def discard_set_aside_messages(request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Discard the messages that were set aside."""
    body = await given(request, Discard)
    done = await parts.discarder.discard(caller, body.through, body.reason)
    return json_response({"discarded": done.discarded, "left": done.left})
