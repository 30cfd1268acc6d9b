"""Take a worker off its queues, and let it back."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_contract.dependencies import NAME_PATTERN
from pointsman_service.api.answers.answer import json_response, moment_of
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.by_hand import Said, SaidForAWhile
from pointsman_service.api.requests.given import given, request_body
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.breaker.outlier import OFF
from pointsman_service.errors import DatabaseAway, InvalidRequest, TooManyBreakers, UnknownWorker
from pointsman_service.operate.eject import Handled

router = APIRouter(tags=["workers"], dependencies=[Depends(known_parameters_only)])

Name = Annotated[str, Path(pattern=NAME_PATTERN, description="As `GET /v1/workers` shows it.")]
_PROBLEMS = (400, UnknownWorker, 413, 415, InvalidRequest, TooManyBreakers, DatabaseAway)
_EJECTED: dict[str, Any] = {
    "name": "email@host-1",
    "pool": "email",
    "ejected": True,
    "on_probation": False,
    "since": "2026-11-26T08:30:00.120000Z",
    "reason": "its disk is full",
    "actor": "local",
    "until": "2026-11-26T09:30:00.120000Z",
    "warning": "No live worker is left on email: what is due there waits.",
}
_ADMITTED = dict.fromkeys(_EJECTED) | {
    "name": "email@host-1", "pool": "email", "ejected": False, "on_probation": False,
}  # fmt: skip


class WorkerEjection(BaseModel):
    """A worker after it was ejected or admitted."""

    name: str
    pool: str | None = Field(description="Null: it was not seen for a day.")
    ejected: bool
    on_probation: bool
    since: AwareDatetime | None
    reason: str | None
    actor: str | None
    until: AwareDatetime | None = Field(description="Null: until somebody admits it.")
    warning: str | None = Field(description="What to look at, such as a queue that nobody serves now.")


@router.post(
    "/v1/workers/{name}/eject",
    operation_id="eject_worker",
    summary="Take a worker off its queues",
    description=(
        "It finishes what runs, takes nothing new, and goes on beating. It holds across restarts, its own too, until it"
        " expires or the worker is admitted. The last worker of a pool is ejected, too: `warning` says so. The same as"
        " `force-open` of its circuit breaker."
    ),
    response_model=WorkerEjection,
    responses=example(_EJECTED, "The worker.") | problem_responses(*_PROBLEMS),
    openapi_extra=request_body(SaidForAWhile, {"reason": "its disk is full", "expires_in_seconds": 3600}),
)
async def eject_worker(name: Name, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Take a worker off its queues."""
    said = await given(request, SaidForAWhile)
    return _shown(await parts.ejector.eject(caller, name, said.reason, said.expires_in_seconds))


@router.post(
    "/v1/workers/{name}/admit",
    operation_id="admit_worker",
    summary="Let a worker back",
    description="For good and at once, whether it was ejected by hand or because its failures stood out.",
    response_model=WorkerEjection,
    responses=example(_ADMITTED, "The worker.") | problem_responses(*_PROBLEMS),
    openapi_extra=request_body(Said, {"reason": "its disk was cleared"}),
)
async def admit_worker(name: Name, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Let a worker back."""
    return _shown(await parts.ejector.admit(caller, name, (await given(request, Said)).reason))


def _shown(done: Handled) -> Response:
    row = done.ejection
    state = BreakerState.CLOSED if row is None else BreakerState(row.seen)
    return json_response(
        {
            "name": done.name,
            "pool": done.pool,
            "ejected": state in OFF,
            "on_probation": state is BreakerState.HALF_OPEN,
            "since": None if row is None else moment_of(row.since),
            "reason": None if row is None else row.reason,
            "actor": None if row is None else row.actor,
            "until": None if row is None else moment_of(row.until),
            "warning": done.warning,
        }
    )
