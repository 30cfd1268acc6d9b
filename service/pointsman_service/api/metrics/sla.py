"""How each queue does against its objective."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.api.answers.answer import json_response, plain
from pointsman_service.api.answers.sla import EXAMPLE_SLA, QueueSlaView
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.errors import DatabaseAway, InvalidRequest
from pointsman_service.observe.sla import BUDGET_SECONDS

router = APIRouter(tags=["metrics"], dependencies=[Depends(known_parameters_only)])

_LONGEST_WINDOW = 366 * 86_400


class SlaMetricsView(BaseModel):
    """Every queue, the most urgent first."""

    window_seconds: float
    recorded_up_to: AwareDatetime | None = Field(
        description="What workers reported until then is counted; null when that is not known."
    )
    items: list[QueueSlaView]
    next_cursor: None = None


@router.get(
    "/v1/metrics/sla",
    operation_id="get_sla_metrics",
    summary="Get attainment, error budget and burn of queues",
    response_model=SlaMetricsView,
    responses=example(
        {
            "window_seconds": BUDGET_SECONDS,
            "recorded_up_to": "2026-11-26T08:30:00Z",
            "items": [EXAMPLE_SLA],
            "next_cursor": None,
        },
        "Every queue.",
    )
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def get_sla_metrics(
    parts: GivenParts,
    window_seconds: Annotated[
        float, Query(gt=0, le=_LONGEST_WINDOW, description="How far back from now; 30 days when it is left out.")
    ] = BUDGET_SECONDS,
) -> Response:
    """Each queue over a window up to now."""
    figures = await parts.views.sla.over(window_seconds)
    lag = await parts.views.readiness.recorder_lag()
    answer = {
        "window_seconds": window_seconds,
        "recorded_up_to": None if lag is None else datetime.now(UTC) - timedelta(seconds=lag),
        "items": [plain(one) for one in figures],
        "next_cursor": None,
    }
    return json_response(answer)
