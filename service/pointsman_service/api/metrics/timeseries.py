"""Figures of TaskMetrics over time."""

from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, Field

from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.metrics.routes import (
    EXAMPLE_COVERED,
    CoveredView,
    GroupName,
    GroupNames,
    Until,
    covered,
    names_of,
)
from pointsman_service.api.parts import GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import bounded, known_parameters_only
from pointsman_service.errors import DatabaseAway, FieldError, InvalidRequest
from pointsman_service.observe import task_series
from pointsman_service.observe.task_series import FIGURES, STEPS, Question

router = APIRouter(tags=["metrics"], dependencies=[Depends(known_parameters_only)])

_MOST_METRICS = 8
_MOST_GROUPS = 50
MetricName = Literal[
    "submitted", "started", "execution_count", "succeeded", "failed", "cancelled", "expired", "retry_count",
    "timed_out", "interrupted", "uncertain_sendings", "duplicates", "native", "held", "held_seconds", "rescued",
    "cancelled_running", "predicted", "kept", "kept_p50", "success_rate", "failure_rate", "sla_met", "sla_missed",
    "sla_attainment", "run_seconds.avg", "run_seconds.p50", "run_seconds.p95", "run_seconds.p99",
    "queue_wait_seconds.avg", "queue_wait_seconds.p50", "queue_wait_seconds.p95", "queue_wait_seconds.p99",
]  # fmt: skip
assert set(get_args(MetricName)) == set(FIGURES)
_USUAL: tuple[MetricName, ...] = ("submitted", "succeeded", "failed")


class SeriesView(GroupNames):
    """The figures of one group."""

    values: dict[MetricName, list[float | None]] = Field(description="By figure, one value for each step.")


class TimeseriesView(CoveredView):
    """Figures over time."""

    step_seconds: int = Field(
        description="Longer than asked for where nothing finer is kept, and an hour where minutes would be too many to"
        " add up: of many task types, and of fewer with durations."
    )
    group_by: GroupName | None
    metrics: list[MetricName]
    steps: list[AwareDatetime] = Field(
        description="When each begins. The last may lie partly in the future; one without anything is there, too."
    )
    items: list[SeriesView]
    next_cursor: None = None


@router.get(
    "/v1/metrics/timeseries",
    operation_id="get_metrics_timeseries",
    summary="Get the metrics of tasks over time",
    description=f"Several figures at once, by step and group. Steps begin where their day does, in UTC. At most"
    f" {task_series.MOST_STEPS} steps, {task_series.MOST_POINTS} steps times `top` when grouped; steps shorter than an"
    " hour of at most two days, shorter than a day of at most 100 days.",
    response_model=TimeseriesView,
    responses=example(
        {
            **EXAMPLE_COVERED,
            "step_seconds": 1800,
            "group_by": "queue",
            "metrics": ["succeeded", "queue_wait_seconds.p95"],
            "steps": ["2026-11-28T11:00:00Z", "2026-11-28T11:30:00Z", "2026-11-28T12:00:00Z"],
            "items": [
                {
                    "queue": "email",
                    "others": False,
                    "values": {"succeeded": [61, 0, 12], "queue_wait_seconds.p95": [0.071, None, 0.064]},
                }
            ],
            "next_cursor": None,
        },
        "The figures.",
    )
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def get_metrics_timeseries(
    parts: GivenParts,
    metric: Annotated[
        list[MetricName] | None,
        Query(
            min_length=1,
            max_length=_MOST_METRICS,
            description="Which figures, named as `/v1/metrics/tasks` names them; left out: " + ", ".join(_USUAL) + ".",
        ),
    ] = None,
    window_seconds: Annotated[
        float, Query(gt=0, le=task_series.LONGEST_WINDOW, description="How far back from its end.")
    ] = 3600,
    step_seconds: Annotated[
        int | None,
        Query(
            ge=STEPS[0],
            le=STEPS[-1],
            description=f"One of {', '.join(map(str, STEPS))}; left out: the shortest that makes at most 120 steps.",
            json_schema_extra={"enum": list(STEPS)},
        ),
    ] = None,
    group_by: Annotated[GroupName | None, Query(description="An item for each; left out: one of everything.")] = None,
    top: Annotated[int, Query(ge=1, le=_MOST_GROUPS, description="So many items; the rest is one more.")] = 10,
    until: Until = None,
) -> Response:
    """Figures by step and group."""
    step = step_seconds or task_series.usual_step(window_seconds)
    metrics = list(dict.fromkeys(metric or _USUAL))
    question = Question(metrics, group_by or "none", window_seconds, bounded(until), step, top)
    if step not in STEPS:
        detail = f"must be one of {', '.join(map(str, STEPS))}"
        raise InvalidRequest(errors=[FieldError(pointer="/query/step_seconds", detail=detail)])
    fault = task_series.fault_of(question)
    if fault is not None:
        raise InvalidRequest(errors=[FieldError(pointer="/query/step_seconds", detail=fault)])
    recorded_up_to = await parts.views.recorded.up_to()
    found = await task_series.read(parts.store, question)
    answer = {
        **covered(found.begins, found.ends, found.resolution, recorded_up_to),
        "step_seconds": found.step_seconds,
        "group_by": group_by,
        "metrics": metrics,
        "steps": [moment(step) for step in found.steps],
        "items": [
            ({"others": False} if group_by is None else names_of(group_by, item.group)) | {"values": item.values}
            for item in found.items
        ],
        "next_cursor": None,
    }
    return json_response(answer)
