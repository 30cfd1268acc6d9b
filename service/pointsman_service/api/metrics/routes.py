"""TaskMetrics over a window."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.admit.moments import Moment
from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import bounded, known_parameters_only
from pointsman_service.errors import DatabaseAway, InvalidRequest
from pointsman_service.observe import task_metrics
from pointsman_service.store.metrics.summing import Sums

router = APIRouter(tags=["metrics"], dependencies=[Depends(known_parameters_only)])

LONGEST_WINDOW = 3_660 * 86_400
"""Ten years."""
MOST_GROUPS = 1_000
GroupName = Literal["task_type", "queue", "caller", "error", "pool"]
Window = Annotated[float, Query(gt=0, le=LONGEST_WINDOW, description="How far back from its end.")]
Until = Annotated[Moment | None, Query(description="End of the window; now when it is left out.")]
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
    "held": 1,
    "held_seconds": 41.7,
    "rescued": 0,
    "cancelled_running": 0,
    "predicted": 58,
    "kept": 55,
    "kept_p50": 30,
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
    held: int = Field(description="Tasks that ended and had been held, for a breaker or another reason.")
    held_seconds: float = Field(description="How long those were held in all.")
    rescued: int = Field(description="Tasks that waited again because their worker went away or was stopped.")
    cancelled_running: int = Field(description="Tasks that ended as cancelled while they ran.")
    predicted: int = Field(
        description="Predicted waits of which it is known whether they held: those of a sample of the tasks. By when"
        " that was known, and of no pool where the task had not started when its p95 passed."
    )
    kept: int = Field(description="Those of them whose task started within the p95; promised are 95 of 100.")
    kept_p50: int = Field(description="Those of them whose task started within the p50; promised are 50 of 100.")
    success_rate: float | None = Field(description="succeeded ÷ (succeeded + failed), null when there are none.")
    failure_rate: float | None = Field(description="failed ÷ (succeeded + failed), null when there are none.")
    run_seconds: DurationsView
    queue_wait_seconds: DurationsView
    sla_met: int = Field(description="First starts in time.")
    sla_missed: int = Field(description="First starts past the target.")
    sla_attainment: float | None = Field(description="sla_met ÷ (sla_met + sla_missed), null when there are none.")


class GroupNames(BaseModel):
    """Of what an item is."""

    task_type: str | None = Field(default=None, description="Present when grouped by it.")
    queue: str | None = Field(default=None, description="Present when grouped by it.")
    caller: str | None = Field(
        default=None, description="Present when grouped by it; null: of no caller that is known."
    )
    error: str | None = Field(
        default=None, description="Present when grouped by it: its type; null: what ended without one, or goes on."
    )
    pool: str | None = Field(
        default=None, description="Present when grouped by it: the pool of the worker; null: what no worker ran."
    )
    others: bool = Field(description="Whether it is of all groups together that have no item of their own.")


class GroupView(GroupNames, FiguresView):
    """The figures of one group."""


class CoveredView(BaseModel):
    """Which moments figures really cover."""

    covered_from: AwareDatetime = Field(
        alias="from", description="Where the window begins: a minute, an hour or a day that lies partly in it is whole."
    )
    until: AwareDatetime = Field(description="Where it ends.")
    resolution: Literal["minute", "hour", "day"] = Field(
        description="How finely its ends were cut: by `hour` or `day` where nothing finer is kept, and of steps of such"
        " length."
    )
    recorded_up_to: AwareDatetime | None = Field(
        description="What workers reported before this moment is counted; null when that is not known."
    )


class TaskMetricsView(CoveredView):
    """Figures over a window."""

    window_seconds: float
    group_by: GroupName
    items: list[GroupView]
    totals: FiguresView
    next_cursor: None = None


EXAMPLE_COVERED = {
    "from": "2026-11-28T11:07:00Z",
    "until": "2026-11-28T12:07:12.345678Z",
    "resolution": "minute",
    "recorded_up_to": "2026-11-28T12:07:12.340112Z",
}


def covered(begins: datetime, until: datetime, resolution: str, recorded_up_to: datetime | None) -> dict[str, Any]:
    """The fields of ``CoveredView``."""
    return {
        "from": moment(begins),
        "until": moment(until),
        "resolution": resolution,
        "recorded_up_to": moment(recorded_up_to),
    }


def names_of(group_by: GroupName, group: Sums) -> dict[str, Any]:
    """The fields of ``GroupNames`` that an item has."""
    name = {"task_type": group.task_type, "queue": group.queue}.get(group_by, group.name)
    return {group_by: name, "others": group.is_others}


@router.get(
    "/v1/metrics/tasks",
    operation_id="get_task_metrics",
    summary="Get the metrics of tasks",
    description="Any window costs about the same: it is the sum of days or hours in its middle and minutes at its ends."
    " Callers, errors and pools have an item each, up to a number of names a day; the items add up to the totals.",
    response_model=TaskMetricsView,
    response_model_exclude_unset=True,
    responses=example(
        {
            "window_seconds": 3600,
            "group_by": "task_type",
            **EXAMPLE_COVERED,
            "items": [{"task_type": "echo", "others": False} | _EXAMPLE_FIGURES],
            "totals": _EXAMPLE_FIGURES,
            "next_cursor": None,
        },
        "The figures.",
    )
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def get_task_metrics(
    parts: GivenParts,
    window_seconds: Window = 3600,
    group_by: Annotated[GroupName, Query(description="One item for each.")] = "task_type",
    until: Until = None,
    top: Annotated[
        int | None,
        Query(ge=1, le=MOST_GROUPS, description="So many items, of which most was run; the rest is one more."),
    ] = None,
) -> Response:
    """The figures of every group, and of all together."""
    recorded_up_to = await parts.views.recorded.up_to()
    found = await parts.views.task_metrics.windowed(group_by, window_seconds, bounded(until))
    groups = found.sums if top is None else task_metrics.top(found.sums, top)
    answer = {
        "window_seconds": window_seconds,
        "group_by": group_by,
        **covered(found.reach.begins, found.until, found.reach.resolution, recorded_up_to),
        "items": [names_of(group_by, group) | asdict(task_metrics.figures(group)) for group in groups],
        "totals": asdict(task_metrics.figures(task_metrics.total(found.sums))),
        "next_cursor": None,
    }
    return json_response(answer)
