"""The attempts of a task."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.api.tasks.routes import find_task
from pointsman_service.api.tasks.view import ErrorView, error_view
from pointsman_service.errors import DatabaseAway, InvalidRequest, UnknownTask
from pointsman_service.observe.tasks.attempts import Attempt, AttemptState, attempts_of
from pointsman_service.store.tasks import reading

router = APIRouter(tags=["tasks"], dependencies=[Depends(known_parameters_only)])

_EXAMPLE = {
    "items": [
        {
            "attempt": 1,
            "state": "failed",
            "worker": "reports@host-1",
            "started_at": "2026-11-22T08:30:00.135000Z",
            "finished_at": "2026-11-22T08:30:00.137500Z",
            "run_seconds": 0.0025,
            "error": {"type": "ValueError", "message": "no such address", "traceback": "Traceback …", "group": None},
        }
    ],
    "next_cursor": None,
}


class AttemptView(BaseModel):
    """One attempt that started."""

    attempt: int
    state: AttemptState = Field(
        description="Interrupted: its worker went away without an outcome, or was stopped. Held: it met an open"
        " circuit breaker, and does not count against the budget."
    )
    worker: str | None
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    run_seconds: float | None
    error: ErrorView | None


class AttemptList(BaseModel):
    """A page of the attempts known, oldest first."""

    items: list[AttemptView]
    next_cursor: str | None = Field(description="For `cursor=`; null on the last page.")


_MOST = 100
"""Each may bring an error of 10 KiB."""


@router.get(
    "/v1/tasks/{task_id}/attempts",
    operation_id="list_attempts",
    summary="List the attempts of a task",
    description="Oldest first, errors whole. Follow `next_cursor`.",
    response_model=AttemptList,
    responses=example(_EXAMPLE, "A page.") | problem_responses(UnknownTask, InvalidRequest, DatabaseAway),
)
async def list_attempts(
    task_id: str,
    parts: GivenParts,
    limit: Annotated[int, Query(ge=1, le=_MOST, description="Attempts on a page.")] = 50,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,9}$", description="`next_cursor` of the page before.")
    ] = None,
) -> Response:
    """A page of the attempts of one task."""
    row = await find_task(parts, task_id)
    after = int(cursor or 0)
    async with parts.store.statement() as connection:
        failed = await reading.failed_attempts(connection, row["id"], after, limit + 1)
    # The one that the task's own row tells comes after all others.
    found = [view for view in attempt_views(row, failed) if view["attempt"] > after]
    shown = found[:limit]
    following = str(shown[-1]["attempt"]) if len(found) > limit else None
    return json_response({"items": shown, "next_cursor": following})


def attempt_views(row: Mapping[str, Any], failed: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The fields of ``AttemptView`` for each attempt of the task of this row, oldest first."""
    return [_view(attempt) for attempt in attempts_of(row, failed)]


def _view(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "state": attempt.state,
        "worker": attempt.worker,
        "started_at": moment(attempt.started_at),
        "finished_at": moment(attempt.finished_at),
        "run_seconds": attempt.run_seconds,
        "error": error_view(attempt.error),
    }
