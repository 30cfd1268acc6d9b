"""Look at workers."""

from typing import Any

from fastapi import APIRouter, Depends, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.api.answers.answer import json_response, plain
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.errors import DatabaseAway, InvalidRequest

router = APIRouter(tags=["workers"], dependencies=[Depends(known_parameters_only)])

EXAMPLE_WORKER: dict[str, Any] = {
    "name": "critical@host-1",
    "pool": "critical",
    "queues": ["critical"],
    "processes": 2,
    "busy": 1,
    "utilization": 0.5,
    "heartbeat_age_seconds": 1.204,
    "live": True,
    "pid": 4711,
    "host": "host-1",
    "started_at": "2026-11-22T08:00:00.500000Z",
    "ejected": False,
    "on_probation": False,
    "ejected_since": None,
    "ejected_reason": None,
    "ejected_until": None,
    "fetching": True,
    "left": False,
}


class WorkerView(BaseModel):
    """One Celery node."""

    name: str
    pool: str
    queues: list[str]
    processes: int
    busy: int | None = Field(description="Attempts under way by its newest beat; null when that is not known.")
    utilization: float | None = Field(description="Busy processes, 0 to 1.")
    heartbeat_age_seconds: float
    live: bool | None = Field(description="Null when it is not known: the broker is away, or nobody watched for long.")
    pid: int
    host: str
    started_at: AwareDatetime
    ejected: bool = Field(description="Taken off its queues: by hand, or because its failures stood out.")
    on_probation: bool = Field(description="Let back after that, and not admitted for good yet.")
    ejected_since: AwareDatetime | None = Field(description="Or since when it is on probation.")
    ejected_reason: str | None
    ejected_until: AwareDatetime | None = Field(description="Null: until somebody admits it.")
    fetching: bool | None = Field(
        description="Whether it takes new tasks, by its newest beat. It obeys within seconds; null when not known."
    )
    left: bool | None = Field(
        description="Whether it went in order: it said good-bye, or is about to. Null when not known."
    )


class WorkerList(BaseModel):
    """Every worker seen within the last hour, by name."""

    items: list[WorkerView]
    next_cursor: None = None


@router.get(
    "/v1/workers",
    operation_id="list_workers",
    summary="List workers",
    description="Answers also while the broker is away; how busy they are is null then.",
    response_model=WorkerList,
    responses=example({"items": [EXAMPLE_WORKER], "next_cursor": None}, "Every worker.")
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def list_workers(parts: GivenParts) -> Response:
    """Every worker."""
    workers = await parts.views.workers.read()
    return json_response({"items": [plain(worker) for worker in workers], "next_cursor": None})
