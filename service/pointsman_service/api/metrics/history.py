"""QueueMetrics and WorkerMetrics over a window, step by step."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.admit.moments import Moment
from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenParts, Parts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import bounded, known_parameters_only, storable
from pointsman_service.errors import DatabaseAway, FieldError, InvalidRequest
from pointsman_service.observe import history
from pointsman_service.observe.history import MOST_POINTS, MOST_POINTS_IN_ALL, Figure, History, Point
from pointsman_service.store.metrics.history import Of

router = APIRouter(tags=["metrics"], dependencies=[Depends(known_parameters_only)])

_LONGEST_WINDOW = 3 * 366 * 86_400
_LONGEST_STEP = 31 * 86_400

_SOME = {"avg": 3.2, "min": 0.0, "max": 11.0, "last": 2.0}
_HEAD = {
    "window_seconds": 3600,
    "step_seconds": 60,
    "since": "2026-11-28T07:30:00Z",
    "until": "2026-11-28T08:30:04.120000Z",
    "sampled_at": "2026-11-28T08:29:58.310000Z",
}


class SampledView(BaseModel):
    """What the samples of a step came to."""

    avg: float
    min: float
    max: float
    last: float = Field(description="The newest sample.")


class _PointView(BaseModel):
    at: AwareDatetime = Field(description="When the step begins.")
    samples: int = Field(description="How often anybody looked; 0: nobody did, nothing is known, every figure is null.")


class QueuePointView(_PointView):
    """One step of one queue; null is what was not known."""

    depth: SampledView | None = Field(description="Tasks due and not started.")
    waiting: SampledView | None = Field(description="Those of them that wait in PostgreSQL.")
    on_broker: SampledView | None = Field(description="Those of them that were sent.")
    running: SampledView | None
    held: SampledView | None
    oldest_wait_seconds: SampledView | None = Field(description="Of the longest due task; 0 when none is.")
    arrival_rate: SampledView | None = Field(description="Tasks submitted per second, each over about ten seconds.")
    service_rate: SampledView | None = Field(description="Attempts ended per second, each over about ten seconds.")
    consumers: SampledView | None = Field(description="Worker processes of live workers.")
    window: SampledView | None = Field(description="So many messages may be on the broker at once.")


class WorkerPointView(_PointView):
    """One step of one pool; null is what was not known."""

    processes: SampledView | None = Field(description="Of live workers.")
    busy: SampledView | None = Field(description="Attempts under way.")
    utilization: SampledView | None = Field(description="busy ÷ processes; null while there are none.")


class QueueHistoryView(BaseModel):
    """One queue."""

    queue: str
    points: list[QueuePointView]


class WorkerHistoryView(BaseModel):
    """One pool of workers."""

    pool: str
    points: list[WorkerPointView]


class _HistoryView(BaseModel):
    window_seconds: float
    step_seconds: int
    since: AwareDatetime = Field(description="When the first step begins; one that lies partly in the window is whole.")
    until: AwareDatetime
    sampled_at: AwareDatetime | None = Field(
        description="When a sample was last written down; null: never, or so long ago that it is not kept by minute."
    )
    next_cursor: None = None


class QueueMetricsView(_HistoryView):
    """Samples of every queue."""

    items: list[QueueHistoryView]


class WorkerMetricsView(_HistoryView):
    """Samples of every pool of workers."""

    items: list[WorkerHistoryView]


Window = Annotated[float, Query(gt=0, le=_LONGEST_WINDOW, description="How far back from its end.")]
Step = Annotated[
    int | None,
    Query(
        ge=60,
        le=_LONGEST_STEP,
        multiple_of=60,
        description="Seconds from point to point, a multiple of 60. Left out, the shortest usual one that makes at most"
        " 120 points.",
    ),
]
Until = Annotated[Moment | None, Query(description="End of the window; now when it is left out.")]


@router.get(
    "/v1/metrics/queues",
    operation_id="get_queue_metrics",
    summary="Get the metrics of queues over time",
    description="Every queue was looked at every two seconds while a reconciler, or who stands in for it, was there. A"
    " step in which nobody looked is a point with `samples` 0: a gap, and no zero."
    f" At most {MOST_POINTS} points of a queue, and {MOST_POINTS_IN_ALL} in all.",
    response_model=QueueMetricsView,
    responses=example(
        _HEAD
        | {
            "items": [
                {
                    "queue": "critical",
                    "points": [
                        {"at": "2026-11-28T07:30:00Z", "samples": 30}
                        | dict.fromkeys(
                            (name for name in QueuePointView.model_fields if name not in _PointView.model_fields), _SOME
                        )
                    ],
                }
            ],
            "next_cursor": None,
        },
        "The samples.",
    )
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def get_queue_metrics(
    parts: GivenParts,
    window_seconds: Window = 3600,
    step_seconds: Step = None,
    queue: Annotated[str | None, Query(min_length=1, max_length=200, description="Only this one.")] = None,
    until: Until = None,
) -> Response:
    """Samples of every queue, or of one."""
    names = [spec.name for spec in parts.settings.topology.queues]
    return await _told(parts, "queue", names, queue, window_seconds, step_seconds, until)


@router.get(
    "/v1/metrics/workers",
    operation_id="get_worker_metrics",
    summary="Get the metrics of workers over time",
    description="Every pool, as `GET /v1/metrics/queues` tells queues.",
    response_model=WorkerMetricsView,
    responses=example(
        _HEAD
        | {
            "items": [
                {
                    "pool": "critical",
                    "points": [
                        {"at": "2026-11-28T07:30:00Z", "samples": 30}
                        | dict.fromkeys(("processes", "busy"), _SOME)
                        | {"utilization": None}
                    ],
                }
            ],
            "next_cursor": None,
        },
        "The samples.",
    )
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def get_worker_metrics(
    parts: GivenParts,
    window_seconds: Window = 3600,
    step_seconds: Step = None,
    pool: Annotated[str | None, Query(min_length=1, max_length=200, description="Only this one.")] = None,
    until: Until = None,
) -> Response:
    """Samples of every pool, or of one."""
    names = [spec.name for spec in parts.settings.topology.pools]
    return await _told(parts, "pool", names, pool, window_seconds, step_seconds, until)


async def _told(
    parts: Parts,
    one: Of,
    names: Sequence[str],
    asked: str | None,
    window_seconds: float,
    step_seconds: int | None,
    until: datetime | None,
) -> Response:
    """The answer about every queue or pool, or about the one that was ``asked`` for: it must be there, or have been."""
    faults: list[FieldError] = []
    name = storable(one, asked, faults)
    step = _step(window_seconds, step_seconds, 1 if name else len(names), one, faults)
    found = await parts.views.history.read(one, names, window_seconds, step, bounded(until), name)
    if name is not None and name not in names and not found.seen:
        detail = f"there is no such {one}; the {one}s are {', '.join(names)}"
        raise InvalidRequest(errors=[FieldError(pointer=f"/query/{one}", detail=detail)])
    return _answer(one, window_seconds, step, found)


def _step(window_seconds: float, asked: int | None, items: int, one: Of, faults: list[FieldError]) -> int:
    """The step; ``InvalidRequest`` when it makes too many points."""
    step = history.usual_step(window_seconds) if asked is None else asked
    points = window_seconds / step
    if points > MOST_POINTS or points * items > MOST_POINTS_IN_ALL:
        faults.append(
            FieldError(
                pointer="/query/step_seconds",
                detail=f"makes {points:.0f} points of each {one}, of {items} {one}s: at most {MOST_POINTS} and"
                f" {MOST_POINTS_IN_ALL} in all; ask for a longer step, a shorter window, or one {one}",
            )
        )
    if faults:
        raise InvalidRequest(errors=faults)
    return step


def _answer(one: Of, window_seconds: float, step_seconds: int, found: History) -> Response:
    return json_response(
        {
            "window_seconds": window_seconds,
            "step_seconds": step_seconds,
            "since": moment(found.since),
            "until": moment(found.until),
            "sampled_at": moment(found.sampled_at),
            "items": [
                {one: name, "points": [_point(point) for point in points]} for name, points in found.points.items()
            ],
            "next_cursor": None,
        }
    )


def _point(point: Point) -> dict[str, Any]:
    return {"at": moment(point.at), "samples": point.samples} | {
        figure: _figure(found) for figure, found in point.figures.items()
    }


def _figure(found: Figure | None) -> dict[str, float] | None:
    return None if found is None else {"avg": found.avg, "min": found.low, "max": found.high, "last": found.last}
