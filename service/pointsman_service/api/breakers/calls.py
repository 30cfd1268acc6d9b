"""Circuit breakers for other services: report calls that ended, ask before a call, read the history."""

from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.admit.numbers import WHOLE
from pointsman_service.api.answers.answer import json_response, moment_of
from pointsman_service.api.breakers.answering import retry_after, shown
from pointsman_service.api.breakers.keys import BODY_PROBLEMS, GivenKey, GuardedKey
from pointsman_service.api.breakers.routes import MOST
from pointsman_service.api.breakers.view import (
    EXAMPLE_BREAKER,
    EXAMPLE_TRANSITION,
    BreakerView,
    TransitionView,
    transition_view,
)
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.given import Action, given, request_body
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.breaker.breaker import BreakerState, Kind, Outcome
from pointsman_service.breaker.last_error import Said
from pointsman_service.errors import DatabaseAway, InvalidRequest, NotFound, UnknownWorker
from pointsman_service.observe.breakers import turn_of
from pointsman_service.store.breakers import breakers

router = APIRouter(tags=["breakers"], dependencies=[Depends(known_parameters_only)])

MOST_OUTCOMES = 1000


class OutcomeReport(Action):
    """One call that ended."""

    outcome: Literal["success", "failure", "ignored"] = Field(
        description="Ignored: nobody's failure, such as a cancel or a wrong argument."
    )
    error: str | None = Field(
        default=None,
        max_length=200,
        description="Of a failure: the name of its exception. It counts only when the policy counts that exception.",
    )
    message: str = Field(
        default="",
        max_length=1000,
        description="Of a failure with an `error`: what it said, for people. The first 500 characters are kept.",
    )
    epoch: Annotated[int, Field(ge=0), WHOLE] | None = Field(
        default=None, description="The breaker's when the call began; of an older one nothing is counted."
    )
    permit: str | None = Field(default=None, max_length=100, description="Of a probe: what `permits` answered.")
    run_seconds: float = Field(default=0.0, ge=0, le=1e9)


class OutcomeReports(Action):
    """Calls that ended, in their order."""

    outcomes: list[OutcomeReport] = Field(min_length=1, max_length=MOST_OUTCOMES)


class CountedView(BreakerView):
    """A breaker after the outcomes of some calls."""

    counted: int = Field(
        description="How many of them counted. Not those that are ignored, of an older epoch, while half open without a"
        " permit that is leased, or of a breaker that is open or set by hand."
    )


class PermitView(BaseModel):
    """Whether a call may be made now."""

    granted: bool
    permit: str | None = Field(description="While half open: to be named by the outcome.")
    expires_at: AwareDatetime | None = Field(description="When the permit ends by itself.")
    state: BreakerState
    epoch: int = Field(description="To be named by the outcome.")
    retry_at: AwareDatetime | None = Field(
        description="When an open breaker lets probes through, or what was set by hand expires; null: nobody knows."
    )


class TransitionList(BaseModel):
    """A page of transitions, newest first."""

    items: list[TransitionView]
    next_cursor: str | None = Field(description="For `cursor=`; null on the last page.")


_PERMIT: dict[str, Any] = {
    "granted": True,
    "permit": "4f0c1f0e5a7b4b8f9d6f3a2b1c0d9e8f",
    "expires_at": "2026-11-25T08:32:03.500000Z",
    "state": "half_open",
    "epoch": 8,
    "retry_at": None,
}


@router.post(
    "/v1/breakers/{scope}/{name:name}/outcomes",
    operation_id="report_outcomes",
    summary="Report calls that ended",
    description=f"Up to {MOST_OUTCOMES:,}, in their order. A breaker that is not known yet is made, with the default"
    " policy.",
    response_model=CountedView,
    responses=example(EXAMPLE_BREAKER | {"counted": 1}, "The breaker after them.") | problem_responses(*BODY_PROBLEMS),
    openapi_extra=request_body(
        OutcomeReports, {"outcomes": [{"outcome": "failure", "error": "TimeoutError", "run_seconds": 5.01}]}
    ),
)
async def report_outcomes(key: GuardedKey, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Count the calls of another service."""
    reports = (await given(request, OutcomeReports)).outcomes
    entry, counted = await parts.breaker_hand.report(caller, key, [_outcome(report) for report in reports])
    return shown(entry, counted=counted)


@router.post(
    "/v1/breakers/{scope}/{name:name}/permits",
    operation_id="ask_for_permit",
    summary="Ask before a call",
    description=(
        "Granted while the breaker is closed. While it is half open a permit is leased to at most so many calls at once"
        " as its policy says; one that is not reported ends by itself. The body of the request is not read."
    ),
    response_model=PermitView,
    responses=example(_PERMIT, "Whether the call may be made.")
    | problem_responses(NotFound, UnknownWorker, InvalidRequest, DatabaseAway),
)
async def ask_for_permit(key: GuardedKey, parts: GivenParts, caller: GivenCaller) -> Response:
    """Lease one call through a breaker."""
    permit = uuid4().hex
    entry, granted = await parts.breaker_hand.lease(caller, key, permit)
    breaker = entry.breaker
    probes = granted and permit in breaker.permits
    return json_response(
        {
            "granted": granted,
            "permit": permit if probes else None,
            "expires_at": moment_of(breaker.permits[permit]) if probes else None,
            "state": breaker.seen,
            "epoch": breaker.epoch,
            "retry_at": moment_of(breaker.lets_through_at),
        },
        headers={} if granted else retry_after(entry),
    )


@router.get(
    "/v1/breakers/{scope}/{name:name}/history",
    operation_id="list_breaker_transitions",
    summary="List what a circuit breaker went through",
    description="Newest first: when, from what to what, why, and who.",
    response_model=TransitionList,
    responses=example({"items": [EXAMPLE_TRANSITION], "next_cursor": None}, "A page.")
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def list_transitions(
    key: GivenKey,
    parts: GivenParts,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Transitions on a page.")] = 50,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,18}$", description="`next_cursor` of the page before.")
    ] = None,
) -> Response:
    """A page of what a breaker went through."""
    below = 2**62 if cursor is None else int(cursor)
    async with parts.store.statement() as connection:
        rows = await breakers.history(connection, key, below, limit + 1)
    items = rows[:limit]
    following = str(items[-1].id) if len(rows) > limit else None
    return json_response({"items": [transition_view(turn_of(row)) for row in items], "next_cursor": following})


def _outcome(report: OutcomeReport) -> Outcome:
    error = () if report.error is None else (report.error,)
    said = None if report.error is None else Said(report.error, report.message)
    return Outcome(Kind(report.outcome), report.epoch, report.permit, report.run_seconds, error, said)
