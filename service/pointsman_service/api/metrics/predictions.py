"""How good predicted waits were."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from pointsman_service.api.answers.answer import json_response
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.errors import DatabaseAway, InvalidRequest
from pointsman_service.observe.prediction import coverage
from pointsman_service.observe.prediction.coverage import Coverage
from pointsman_service.store.metrics.predictions import Tally

router = APIRouter(tags=["metrics"], dependencies=[Depends(known_parameters_only)])

_LONGEST_WINDOW = 31 * 86_400
_EXAMPLE: dict[str, Any] = {
    "compared": 3521,
    "within_p50": 0.512,
    "within_p95": 0.953,
    "median_error_seconds": 0.018,
}


class CoverageView(BaseModel):
    """What was promised beside what came."""

    compared: int = Field(
        description="Sampled predictions of which it is known whether the task started within the p95. One that has not"
        " started when its p95 passes counts from then on; one that was held, paused or ended unstarted does not."
    )
    within_p50: float | None = Field(description="Share that started within the p50; promised is 0.5. Null: none.")
    within_p95: float | None = Field(description="Share that started within the p95; promised is 0.95. Null: none.")
    median_error_seconds: float | None = Field(
        description="Half of the p50s were no further than this from the wait that came; within 5 %."
    )


class QueueCoverageView(CoverageView):
    """Of one queue."""

    queue: str


class PredictionMetricsView(BaseModel):
    """How good predictions were that came out in a window."""

    window_seconds: float
    items: list[QueueCoverageView]
    totals: CoverageView
    next_cursor: None = None


@router.get(
    "/v1/metrics/predictions",
    operation_id="get_prediction_metrics",
    summary="Get how good predicted waits were",
    description="What a sample of the tasks was told when it was submitted, beside how long it waited. By minute in a"
    " window of two hours at most, else by hour; what lies partly in it counts whole.",
    response_model=PredictionMetricsView,
    responses=example(
        {"window_seconds": 3600, "items": [{"queue": "reports"} | _EXAMPLE], "totals": _EXAMPLE, "next_cursor": None},
        "The record of every queue.",
    )
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def get_prediction_metrics(
    parts: GivenParts,
    window_seconds: Annotated[float, Query(gt=0, le=_LONGEST_WINDOW, description="How far back from now.")] = 3600,
) -> Response:
    """The record of every queue, and of all together."""
    found = await coverage.read(parts.store, window_seconds)
    names = [spec.name for spec in parts.settings.topology.queues]
    by_queue = {name: found.get(name, Tally()) for name in (*names, *sorted(found.keys() - set(names)))}
    answer = {
        "window_seconds": window_seconds,
        "items": [{"queue": queue} | _plain(coverage.coverage(tally)) for queue, tally in by_queue.items()],
        "totals": _plain(coverage.coverage(coverage.total(list(by_queue.values())))),
        "next_cursor": None,
    }
    return json_response(answer)


def _plain(found: Coverage) -> dict[str, Any]:
    return asdict(found)
