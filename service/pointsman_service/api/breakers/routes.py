"""Circuit breakers: look at them, set their policy, set them by hand."""

import math
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.catalogue import MAX_NAME, NAME_IN_PATH
from pointsman_contract.dependencies import NAME_PATTERN, folded_key, is_name
from pointsman_service.api.answers.answer import example, json_response, known_parameters_only
from pointsman_service.api.breakers.preconditions import (
    CONDITIONS_OF_A_CHANGE,
    IF_NONE_MATCH_OF_A_READER,
    condition_of,
    etag_of,
    has_it_already,
)
from pointsman_service.api.breakers.view import (
    EXAMPLE_BREAKER,
    BreakerList,
    BreakerView,
    Scope,
    breaker_view,
)
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests import paths  # noqa: F401 - the convertor of names
from pointsman_service.api.requests.given import Action, Reason, given, request_body
from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.breaker.entry import Entry
from pointsman_service.errors import (
    BodyTooLarge,
    DatabaseAway,
    FieldError,
    InvalidRequest,
    MalformedJson,
    NotFound,
    PolicyChanged,
    TooManyBreakers,
    UnknownWorker,
    UnsupportedMediaType,
)
from pointsman_service.store.breakers.breakers import Key

MOST = 200
_LONGEST_OVERRIDE_SECONDS = 366 * 86_400.0

Name = Annotated[
    str,
    Path(
        pattern=NAME_IN_PATH,
        max_length=MAX_NAME,
        description="Letters, digits and ._:@+- only, of an IPv6 address also brackets; of a task type, whatever its"
        " name is. A dependency `Pay.Example.org.:443` is `pay.example.org`.",
    ),
]
BODY_PROBLEMS = (
    MalformedJson,
    NotFound,
    UnknownWorker,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    TooManyBreakers,
    DatabaseAway,
)


def key_of_path(scope: Scope, name: Name) -> Key:
    """The key of a breaker, whose name is folded if it is a dependency's. Raises ``InvalidRequest`` or ``NotFound``:
    only task types have names as they please.
    """
    if scope != Scope.TASK_TYPE and "/" in name:
        raise NotFound
    key = folded_key(str(scope), name)
    if scope != Scope.TASK_TYPE and not is_name(key[1]):
        raise InvalidRequest(errors=[FieldError(pointer="/path/name", detail=f"does not match {NAME_PATTERN}")])
    return key


GivenKey = Annotated[Key, Depends(key_of_path)]
"""A parameter of an endpoint: a breaker that may not be known yet."""


async def key_of_a_thing(key: GivenKey, parts: GivenParts) -> Key:
    """The same. Raises ``NotFound`` for a task type or a worker that is none; a dependency may be called anything."""
    await parts.breaker_hand.check_guarded(key)
    return key


GuardedKey = Annotated[Key, Depends(key_of_a_thing)]
"""A parameter of an endpoint that makes a breaker which is not known yet."""


router = APIRouter(tags=["breakers"], dependencies=[Depends(known_parameters_only)])


class Said(Action):
    """Why somebody sets a breaker by hand."""

    reason: str = Field(min_length=1, max_length=500, description="Kept in the history.")


class SaidForAWhile(Said):
    """Why, and for how long."""

    expires_in_seconds: float | None = Field(
        default=None, gt=0, le=_LONGEST_OVERRIDE_SECONDS, description="Null: until somebody takes it away."
    )


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
    return json_response({"items": [breaker_view(entry) for entry in shown], "next_cursor": following})


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
        " breaker has counted stays."
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
    """Set a policy."""
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
    key: GuardedKey,
    request: Request,
    parts: GivenParts,
    caller: GivenCaller,
    reason: Annotated[Reason | None, Query(pattern=r"^[^\x00]*$", description="Why, for the log.")] = None,
) -> Response:
    """Take a policy away."""
    return shown(await parts.breaker_hand.set_policy(caller, key, None, condition_of(request), reason))


@router.post(
    "/v1/breakers/{scope}/{name:name}/force-open",
    operation_id="force_breaker_open",
    summary="Let nothing through",
    description="Until it expires, or `reset`. Whatever is reported meanwhile changes nothing.",
    response_model=BreakerView,
    responses=example(EXAMPLE_BREAKER | {"state": "forced_open"}, "The breaker.") | problem_responses(*BODY_PROBLEMS),
    openapi_extra=request_body(SaidForAWhile, {"reason": "they migrate their database", "expires_in_seconds": 3600}),
)
async def force_open(key: GuardedKey, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Open it by hand."""
    said = await given(request, SaidForAWhile)
    open_ = BreakerState.FORCED_OPEN
    return shown(await parts.breaker_hand.force(caller, key, open_, said.reason, said.expires_in_seconds))


@router.post(
    "/v1/breakers/{scope}/{name:name}/disable",
    operation_id="disable_breaker",
    summary="Let everything through and count nothing",
    description="Until it expires, or `reset`.",
    response_model=BreakerView,
    responses=example(EXAMPLE_BREAKER | {"state": "disabled"}, "The breaker.") | problem_responses(*BODY_PROBLEMS),
    openapi_extra=request_body(SaidForAWhile, {"reason": "it counts our own mistake", "expires_in_seconds": None}),
)
async def disable(key: GuardedKey, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Disable it by hand."""
    said = await given(request, SaidForAWhile)
    off = BreakerState.DISABLED
    return shown(await parts.breaker_hand.force(caller, key, off, said.reason, said.expires_in_seconds))


@router.post(
    "/v1/breakers/{scope}/{name:name}/force-close",
    operation_id="force_breaker_closed",
    summary="Close it now",
    description="What it has counted and what was set by hand is forgotten; it goes on counting.",
    response_model=BreakerView,
    responses=example(EXAMPLE_BREAKER | {"state": "closed"}, "The breaker.") | problem_responses(*BODY_PROBLEMS),
    openapi_extra=request_body(Said, {"reason": "they say it is mended"}),
)
async def force_close(key: GuardedKey, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Close it by hand."""
    said = await given(request, Said)
    return shown(await parts.breaker_hand.close(caller, key, said.reason))


@router.post(
    "/v1/breakers/{scope}/{name:name}/reset",
    operation_id="reset_breaker",
    summary="Take away what was set by hand",
    description="The state that stood beneath counts again. Without an override it changes nothing.",
    response_model=BreakerView,
    responses=example(EXAMPLE_BREAKER, "The breaker.") | problem_responses(*BODY_PROBLEMS),
    openapi_extra=request_body(Said, {"reason": "the migration is over"}),
)
async def reset(key: GuardedKey, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """End an override."""
    said = await given(request, Said)
    return shown(await parts.breaker_hand.reset(caller, key, said.reason))


def shown(entry: Entry, **more: Any) -> Response:
    """A breaker as an answer, with the ETag of its policy and, where it is known when calls pass, Retry-After."""
    answer = json_response(breaker_view(entry) | more)
    answer.headers["ETag"] = etag_of(entry, bytes(answer.body))
    answer.headers.update(retry_after(entry))
    return answer


def retry_after(entry: Entry) -> dict[str, str]:
    """The header, in whole seconds; none while calls pass, or when nobody knows when they will."""
    until = entry.breaker.lets_through_at
    return {} if until is None else {"Retry-After": str(max(1, math.ceil(until - time.time())))}


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
