"""Circuit breakers: look at them, set their policy."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.api.answers.answer import json_response
from pointsman_service.api.breakers.answering import shown
from pointsman_service.api.breakers.keys import BODY_PROBLEMS, GivenKey, GuardedKey, KnownKey
from pointsman_service.api.breakers.preconditions import (
    CONDITIONS_OF_A_CHANGE,
    IF_NONE_MATCH_OF_A_READER,
    condition_of,
    has_it_already,
)
from pointsman_service.api.breakers.view import EXAMPLE_BREAKER, BreakerList, BreakerView, Scope, breaker_view
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.given import Reason, given, request_body
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.breaker.entry import Entry
from pointsman_service.errors import (
    DatabaseAway,
    FieldError,
    InvalidRequest,
    NotFound,
    PolicyChanged,
    TooManyBreakers,
    UnknownWorker,
)
from pointsman_service.observe.breakers import breaker_now

MOST = 200

router = APIRouter(tags=["breakers"], dependencies=[Depends(known_parameters_only)])


class GivenPolicy(BreakerPolicy):
    """The policy of a circuit breaker, and why it is set."""

    reason: Reason | None = Field(default=None, description="Why, for the log.")


@router.get(
    "/v1/breakers",
    operation_id="list_breakers",
    summary="List circuit breakers",
    description="By scope and name. A breaker that nothing ever happened to is not listed: it is closed.",
    response_model=BreakerList,
    responses=example({"items": [EXAMPLE_BREAKER], "next_cursor": None}, "A page.")
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def list_breakers(
    parts: GivenParts,
    scope: Annotated[Scope | None, Query(description="Only breakers of this scope.")] = None,
    state: Annotated[BreakerState | None, Query(description="Only breakers that were last written so.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Breakers on a page.")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=1200, pattern=r"^[A-Za-z0-9_-]+$", description="`next_cursor` of the page before.")
    ] = None,
) -> Response:
    """A page of breakers."""
    entries = await parts.breakers.page(scope, state, _after(cursor), limit + 1)
    shown = entries[:limit]
    following = _cursor(shown[-1]) if len(entries) > limit else None
    return json_response({"items": [breaker_view(breaker_now(entry)) for entry in shown], "next_cursor": following})


@router.get(
    "/v1/breakers/{scope}/{name:name}",
    operation_id="get_breaker",
    summary="Get a circuit breaker",
    description="Its `ETag` names the version of its policy and what is shown.",
    response_model=BreakerView,
    responses=example(EXAMPLE_BREAKER, "The breaker, as of now.")
    | {304: {"description": "It is as `If-None-Match` has it."}}
    | problem_responses(NotFound, InvalidRequest, DatabaseAway),
    openapi_extra={"parameters": IF_NONE_MATCH_OF_A_READER},
)
async def get_breaker(key: GivenKey, request: Request, parts: GivenParts) -> Response:
    """One breaker."""
    entry = await parts.breakers.find(key)
    if entry is None:
        raise NotFound("Nothing was ever reported for this breaker, so it is closed.")
    answer = shown(entry)
    if has_it_already(request, answer.headers["ETag"]):
        return Response(status_code=304, headers={"ETag": answer.headers["ETag"]})
    return answer


@router.put(
    "/v1/breakers/{scope}/{name:name}",
    operation_id="set_breaker_policy",
    summary="Set the policy of a circuit breaker",
    description=(
        "The whole policy: what is left out takes its default, but a body there must be. With `If-Match` it is refused"
        " when somebody changed the policy meanwhile, with `If-None-Match: *` when it has one of its own. What the"
        " breaker has counted stays. A dependency may be one that nobody has called yet."
    ),
    response_model=BreakerView,
    responses=example(EXAMPLE_BREAKER | {"has_own_policy": True}, "The breaker.")
    | problem_responses(PolicyChanged, *BODY_PROBLEMS),
    openapi_extra=request_body(GivenPolicy, {"failure_threshold": 10, "recovery_timeout": 30})
    | {"parameters": CONDITIONS_OF_A_CHANGE},
)
async def set_policy(
    key: GuardedKey,
    request: Request,
    parts: GivenParts,
    caller: GivenCaller,
) -> Response:
    """Set the policy of a breaker."""
    said = await given(request, GivenPolicy, required=True)
    policy = BreakerPolicy(**said.model_dump(exclude={"reason"}))
    return shown(await parts.breaker_hand.set_policy(caller, key, policy, condition_of(request), said.reason))


@router.delete(
    "/v1/breakers/{scope}/{name:name}/policy",
    operation_id="unset_breaker_policy",
    summary="Give a circuit breaker the default policy again",
    response_model=BreakerView,
    responses=example(EXAMPLE_BREAKER, "The breaker.")
    | problem_responses(NotFound, UnknownWorker, PolicyChanged, InvalidRequest, TooManyBreakers, DatabaseAway),
    openapi_extra={"parameters": CONDITIONS_OF_A_CHANGE},
)
async def unset_policy(
    key: KnownKey,
    request: Request,
    parts: GivenParts,
    caller: GivenCaller,
    reason: Annotated[Reason | None, Query(pattern=r"^[^\x00]*$", description="Why, for the log.")] = None,
) -> Response:
    """Take a policy away."""
    return shown(await parts.breaker_hand.set_policy(caller, key, None, condition_of(request), reason))


def _cursor(entry: Entry) -> str:
    return urlsafe_b64encode("/".join(entry.key).encode()).decode().rstrip("=")


def _after(cursor: str | None) -> tuple[str, str]:
    if cursor is None:
        return "", ""
    try:
        scope, _, name = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("/")
    except ValueError:
        scope = name = ""
    # A task type may have any name.
    if scope not in list(Scope) or not name or "\x00" in name:
        raise InvalidRequest(errors=[FieldError(pointer="/query/cursor", detail="is not a cursor of this list")])
    return scope, name
