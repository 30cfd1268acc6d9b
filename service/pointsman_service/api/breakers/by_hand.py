"""Circuit breakers set by hand: open, disabled, closed, tried, and back to themselves."""

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from pointsman_service.api.breakers.answering import shown
from pointsman_service.api.breakers.keys import BODY_PROBLEMS, GivenKey
from pointsman_service.api.breakers.view import EXAMPLE_BREAKER, BreakerView
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenCaller, GivenParts, Parts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.by_hand import Said, SaidForAWhile
from pointsman_service.api.requests.given import given, request_body
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.callers import Caller
from pointsman_service.store.breakers.breakers import Key

router = APIRouter(tags=["breakers"], dependencies=[Depends(known_parameters_only)])


class Force(SaidForAWhile):
    """Why, for how long, and whether the breaker may be made."""

    new: bool = Field(
        default=False,
        description="Of a dependency that nobody has reported a call to and no task type depends on: make its breaker."
        " Without it such a name is 404, for it may be mistyped.",
    )


@router.post(
    "/v1/breakers/{scope}/{name:name}/force-open",
    operation_id="force_breaker_open",
    summary="Let nothing through",
    description="Until it expires, or `reset`. Whatever is reported meanwhile changes nothing.",
    response_model=BreakerView,
    responses=example(EXAMPLE_BREAKER | {"state": "forced_open"}, "The breaker.") | problem_responses(*BODY_PROBLEMS),
    openapi_extra=request_body(Force, {"reason": "they migrate their database", "expires_in_seconds": 3600}),
)
async def force_open(key: GivenKey, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Open a breaker by hand."""
    said = await given(request, Force)
    await _check(parts, caller, key, said)
    open_ = BreakerState.FORCED_OPEN
    return shown(await parts.breaker_hand.force(caller, key, open_, said.reason, said.expires_in_seconds))


@router.post(
    "/v1/breakers/{scope}/{name:name}/disable",
    operation_id="disable_breaker",
    summary="Let everything through and count nothing",
    description="Until it expires, or `reset`.",
    response_model=BreakerView,
    responses=example(EXAMPLE_BREAKER | {"state": "disabled"}, "The breaker.") | problem_responses(*BODY_PROBLEMS),
    openapi_extra=request_body(Force, {"reason": "it counts our own mistake", "expires_in_seconds": None}),
)
async def disable(key: GivenKey, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Disable a breaker by hand."""
    said = await given(request, Force)
    await _check(parts, caller, key, said)
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
async def force_close(key: GivenKey, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Close a breaker by hand."""
    said = await given(request, Said)
    await parts.breaker_hand.check_known(caller, key)
    return shown(await parts.breaker_hand.close(caller, key, said.reason))


@router.post(
    "/v1/breakers/{scope}/{name:name}/probe",
    operation_id="probe_breaker",
    summary="Try it now",
    description="One that is open becomes half open before its wait is over: a few of what it holds are tried, and if"
    " they fail it is open again and waits anew. One in another state stays as it is.",
    response_model=BreakerView,
    responses=example(EXAMPLE_BREAKER | {"state": "half_open"}, "The breaker.") | problem_responses(*BODY_PROBLEMS),
    openapi_extra=request_body(Said, {"reason": "they say it is mended"}),
)
async def probe(key: GivenKey, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Probe an open breaker before its time."""
    said = await given(request, Said)
    await parts.breaker_hand.check_known(caller, key)
    return shown(await parts.breaker_hand.probe(caller, key, said.reason))


@router.post(
    "/v1/breakers/{scope}/{name:name}/reset",
    operation_id="reset_breaker",
    summary="Take away what was set by hand",
    description="The state that stood beneath counts again. Without an override it changes nothing.",
    response_model=BreakerView,
    responses=example(EXAMPLE_BREAKER, "The breaker.") | problem_responses(*BODY_PROBLEMS),
    openapi_extra=request_body(Said, {"reason": "the migration is over"}),
)
async def reset(key: GivenKey, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Take away what was set by hand."""
    said = await given(request, Said)
    await parts.breaker_hand.check_known(caller, key)
    return shown(await parts.breaker_hand.reset(caller, key, said.reason))


async def _check(parts: Parts, caller: Caller, key: Key, said: Force) -> None:
    hand = parts.breaker_hand
    await (hand.check_guarded(caller, key) if said.new else hand.check_known(caller, key))
