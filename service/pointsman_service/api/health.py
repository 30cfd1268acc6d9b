"""Health: whether this process answers, and whether a task submitted now would be accepted and run."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from pointsman_service.access.checking import check_scope
from pointsman_service.access.scopes import KeyScope
from pointsman_service.api.answers.answer import json_response
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.errors import InvalidRequest, ScopeMissing
from pointsman_service.observe.readiness import PartState, Readiness

router = APIRouter(tags=["health"], dependencies=[Depends(known_parameters_only)])

_ALIVE = {"status": "alive"}
_NOT_READY = {"status": "not ready", "detail": "no worker has published task types yet"}
_VERBOSE = {
    "status": "ready",
    "detail": "the broker answers",
    "parts": {
        "broker": {"ok": True, "needed": False, "detail": "the broker answers", "memory_percent": 3},
        "database": {"ok": True, "needed": True, "detail": "the database answers"},
    },
}


class Alive(BaseModel):
    """What a living process says."""

    status: Literal["alive"]


class PartView(BaseModel):
    """How one part is; some say more."""

    model_config = ConfigDict(extra="allow")

    ok: bool
    needed: bool = Field(description="Whether the service is ready only when this part is ok.")
    detail: str


class ReadinessView(BaseModel):
    """Whether a task submitted now would be accepted and run."""

    status: Literal["ready", "not ready"]
    detail: str
    parts: dict[str, PartView] | None = Field(default=None, description="With `?verbose`.")


@router.get(
    "/livez",
    operation_id="get_liveness",
    summary="Is this process alive?",
    response_model=Alive,
    responses=example(_ALIVE, "It is.") | problem_responses(InvalidRequest),
)
async def get_liveness() -> Response:
    """200 while this process answers at all."""
    return json_response(_ALIVE)


@router.get(
    "/healthz",
    operation_id="get_health",
    summary="Is this process alive? (the same as /livez)",
    response_model=Alive,
    responses=example(_ALIVE, "It is.") | problem_responses(InvalidRequest),
)
async def get_health() -> Response:
    """The same as ``/livez``."""
    return json_response(_ALIVE)


@router.get(
    "/readyz",
    operation_id="get_readiness",
    summary="Would a task submitted now be accepted and run?",
    description=(
        "A broker that is away, and a dispatcher, recorder or reconciler that is missing, is said in words and stays"
        " 200: tasks are accepted, and run or wait. `verbose` takes the scope `metrics:read` where keys are asked for,"
        " unless `POINTSMAN_METRICS_OPEN` is set."
    ),
    response_model=ReadinessView,
    responses=example(_VERBOSE, "It would.")
    | {
        503: {
            "description": "It would not.",
            "model": ReadinessView,
            "content": {"application/json": {"example": _NOT_READY}},
        }
    }
    | problem_responses(InvalidRequest, ScopeMissing),
)
async def get_readiness(
    parts: GivenParts,
    caller: GivenCaller,
    verbose: Annotated[
        str | None,
        Query(pattern=r"^[^\x00]*$", description="Say of each part how it is.", examples=[""]),
    ] = None,
) -> Response:
    """200 when ready, 503 when not."""
    wordy = verbose is not None and verbose.lower() not in ("0", "false", "no")
    if wordy and not parts.settings.metrics_open:
        check_scope(caller, KeyScope.METRICS_READ)
    readiness = await parts.views.readiness.read()
    return json_response(readiness_view(readiness, wordy), 200 if readiness.ready else 503)


def readiness_view(readiness: Readiness, verbose: bool) -> dict[str, Any]:
    """The fields of ``ReadinessView``."""
    view: dict[str, Any] = {
        "status": "ready" if readiness.ready else "not ready",
        "detail": readiness.reason,
    }
    if verbose:
        view["parts"] = {name: _part_view(part) for name, part in readiness.parts.items()}
    return view


def _part_view(part: PartState) -> dict[str, Any]:
    return {"ok": part.ok, "needed": part.needed, "detail": part.detail, **part.figures}
