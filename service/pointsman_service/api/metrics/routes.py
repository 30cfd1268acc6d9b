"""TaskMetrics over a window."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from pointsman_service.admit.moments import Moment
from pointsman_service.api.answers.answer import json_response
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import bounded, known_parameters_only
from pointsman_service.errors import DatabaseAway, InvalidRequest
from pointsman_service.observe import task_metrics

router = APIRouter(tags=["metrics"], dependencies=[Depends(known_parameters_only)])

_LONGEST_WINDOW = 31 * 86_400
"""The longest month."""
_EXAMPLE_FIGURES: dict[str, Any] = {
    "submitted": 120,
    "started": 119,
    "execution_count": 119,
    "succeeded": 117,
    "failed": 2,
    "cancelled": 0,
    "expired": 1,
    "retry_count": 0,
    "timed_out": 0,
    "interrupted": 0,
    "uncertain_sendings": 0,
    "duplicates": 0,
    "native": 0,
    "success_rate": 0.983193,
    "failure_rate": 0.016807,
    "run_seconds": {"avg": 0.012, "p50": 0.0103, "p95": 0.0301, "p99": 0.0492},
    "queue_wait_seconds": {"avg": 0.021, "p50": 0.0162, "p95": 0.0581, "p99": 0.0939},
    "sla_met": 119,
    "sla_missed": 0,
    "sla_attainment": 1.0,
}


class DurationsView(BaseModel):
    """In seconds; null when nothing was observed. Percentiles are within 5 %."""

    avg: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class FiguresView(BaseModel):
    """Counters, rates and durations."""

    submitted: int
    started: int = Field(description="Attempts.")
    execution_count: int = Field(description="Attempts ended, plain Celery runs included.")
    succeeded: int = Field(description="Tasks, and plain Celery runs.")
    failed: int = Field(description="Tasks, and plain Celery runs.")
    cancelled: int = Field(description="Tasks.")
    expired: int = Field(description="Tasks.")
    retry_count: int = Field(description="Failed attempts that another followed, plain Celery runs included.")
    timed_out: int = Field(description="Attempts ended by a time limit.")
    interrupted: int = Field(description="Attempts that ended with their worker, or when it was stopped.")
    uncertain_sendings: int = Field(description="Tasks sent again in a new epoch of Redis that may have run before.")
    duplicates: int = Field(description="Messages that found their task already running or done.")
    native: int = Field(description="Executions of plain Celery tasks.")
    success_rate: float | None = Field(description="succeeded ÷ (succeeded + failed), null when there are none.")
    failure_rate: float | None = Field(description="failed ÷ (succeeded + failed), null when there are none.")
    run_seconds: DurationsView
    queue_wait_seconds: DurationsView
    sla_met: int = Field(description="First starts in time.")
    sla_missed: int = Field(description="First starts past the target.")
    sla_attainment: float | None = Field(description="sla_met ÷ (sla_met + sla_missed), null when there are none.")


class GroupView(FiguresView):
    """The figures of one task type or one queue."""

    task_type: str | None = Field(default=None, description="Present when grouped by it.")
    queue: str | None = Field(default=None, description="Present when grouped by it.")


class TaskMetricsView(BaseModel):
    """Figures over a window; a minute that lies partly in it counts whole."""

    window_seconds: float
    group_by: Literal["task_type", "queue"]
    items: list[GroupView]
    totals: FiguresView
    next_cursor: None = None


@router.get(
    "/v1/metrics/tasks",
    operation_id="get_task_metrics",
    summary="Get the metrics of tasks",
    description="Percentiles come from summed histograms, so any window costs about the same.",
    response_model=TaskMetricsView,
    response_model_exclude_unset=True,
    responses=example(
        {
            "window_seconds": 3600,
            "group_by": "task_type",
            "items": [{"task_type": "echo"} | _EXAMPLE_FIGURES],
            "totals": _EXAMPLE_FIGURES,
            "next_cursor": None,
        },
        "The figures.",
    )
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def get_task_metrics(
    parts: GivenParts,
    window_seconds: Annotated[float, Query(gt=0, le=_LONGEST_WINDOW, description="How far back from its end.")] = 3600,
    group_by: Annotated[Literal["task_type", "queue"], Query(description="One item for each.")] = "task_type",
    until: Annotated[Moment | None, Query(description="End of the window; now when it is left out.")] = None,
) -> Response:
    """The figures of every task type or queue, and of all together."""
    groups = await task_metrics.read(parts.store, group_by, window_seconds, bounded(until))
    items = [
        {group_by: group.task_type if group_by == "task_type" else group.queue} | asdict(task_metrics.figures(group))
        for group in groups
    ]
    answer = {
        "window_seconds": window_seconds,
        "group_by": group_by,
        "items": items,
        "totals": asdict(task_metrics.figures(task_metrics.total(groups))),
        "next_cursor": None,
    }
    return json_response(answer)
