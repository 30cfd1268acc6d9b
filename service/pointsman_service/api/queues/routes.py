"""Look at queues."""

from typing import Any

from fastapi import APIRouter, Depends, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.api.answers.answer import json_response, plain
from pointsman_service.api.answers.predicted_wait import EXAMPLE_PREDICTED_WAIT, PredictedWaitView, predicted_wait
from pointsman_service.api.answers.sla import EXAMPLE_SLA, QueueSlaView
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.errors import DatabaseAway, InvalidRequest, UnknownQueueName
from pointsman_service.observe.queues import MOST_REASONS, QueueFigures
from pointsman_service.operate.pause import check_queue

router = APIRouter(tags=["queues"], dependencies=[Depends(known_parameters_only)])

EXAMPLE_QUEUE: dict[str, Any] = {
    "name": "critical",
    "priority": 10,
    "sla_seconds": 2.0,
    "depth": 3,
    "waiting": 1,
    "on_broker": 2,
    "running": 2,
    "window": 200,
    "oldest_wait_seconds": 0.12,
    "arrival_rate": 4.2,
    "service_rate": 4.1,
    "predicted_wait": EXAMPLE_PREDICTED_WAIT,
    "states": {"scheduled": 12, "queued": 3, "held": 41, "running": 2, "retrying": 1},
    "held_by": [{"reason": "breaker:task_type:charge", "tasks": 40}, {"reason": "unknown_task_type", "tasks": 1}],
    "sla_attainment": 0.998,
    "consumers": 4,
    "set_aside": 0,
    "paused": False,
    "paused_at": None,
    "paused_by": None,
    "pause_reason": None,
    "sla": EXAMPLE_SLA | {"queue": "critical", "target_seconds": 2.0},
}


class HeldView(BaseModel):
    """Tasks of a queue that are held for one reason."""

    reason: str | None = Field(
        description="`held_reason` of the tasks: `breaker:<scope>:<name>`, `unknown_task_type` or `quarantine`; null:"
        " all other reasons together."
    )
    tasks: int


class QueueView(BaseModel):
    """One queue."""

    name: str
    priority: int = Field(description="Of a task that names none; 10 is the most urgent.")
    sla_seconds: float = Field(description="The target for queue wait.")
    depth: int = Field(description="Tasks due and not started. Not those that are held: `states` and `held_by`.")
    waiting: int = Field(description="Those of `depth` that wait in PostgreSQL: the window is full, or nobody sends.")
    on_broker: int = Field(description="Those of `depth` that were sent, and that no worker has begun.")
    running: int = Field(description="Tasks whose attempt runs.")
    window: int | None = Field(
        description="So many of its messages may be on the broker at once; null when the broker does not answer."
    )
    oldest_wait_seconds: float | None = Field(description="Since the oldest of them was due; null when there is none.")
    arrival_rate: float = Field(description="Tasks submitted per second, over the last five minutes.")
    service_rate: float = Field(description="Attempts ended per second, over the last five minutes.")
    predicted_wait: PredictedWaitView = Field(
        description="Of a task that is submitted now with the priority of the queue, from due to started."
    )
    states: dict[str, int] = Field(description="Unfinished tasks by state.")
    held_by: list[HeldView] = Field(
        description=f"Those of them that are held, by reason, the most first; {MOST_REASONS} reasons at most."
    )
    sla_attainment: float | None = Field(
        description="Share of first starts in time over the last five minutes, 0 to 1; null when nothing started."
    )
    consumers: int | None = Field(
        description="Worker processes of live workers on this queue; null when it is not known who lives."
    )
    set_aside: int | None = Field(
        description="Messages that nobody could run, until they are discarded; null when the broker does not answer."
    )
    paused: bool = Field(description="Whether none of its managed tasks starts.")
    paused_at: AwareDatetime | None
    paused_by: str | None
    pause_reason: str | None
    sla: QueueSlaView | None = Field(
        description="Against its objective over the 30 days of an error budget; null when it was not added up in time."
    )


class QueueList(BaseModel):
    """Every queue, the most urgent first."""

    items: list[QueueView]
    next_cursor: None = None


@router.get(
    "/v1/queues",
    operation_id="list_queues",
    summary="List queues",
    response_model=QueueList,
    responses=example({"items": [EXAMPLE_QUEUE], "next_cursor": None}, "Every queue.")
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def list_queues(parts: GivenParts) -> Response:
    """Every queue."""
    queues = await parts.views.queues.read()
    return json_response({"items": [_queue(parts, queue) for queue in queues], "next_cursor": None})


@router.get(
    "/v1/queues/{name}",
    operation_id="get_queue",
    summary="Get a queue",
    response_model=QueueView,
    responses=example(EXAMPLE_QUEUE, "The queue.") | problem_responses(UnknownQueueName, InvalidRequest, DatabaseAway),
)
async def get_queue(name: str, parts: GivenParts) -> Response:
    """One queue."""
    check_queue(parts.settings.topology, name)
    queues = await parts.views.queues.read()
    return json_response(next(_queue(parts, queue) for queue in queues if queue.name == name))


def _queue(parts: GivenParts, queue: QueueFigures) -> dict[str, Any]:
    said = parts.views.predictions.of(queue.name, queue.priority)
    return plain(queue) | {"predicted_wait": predicted_wait(said)}
