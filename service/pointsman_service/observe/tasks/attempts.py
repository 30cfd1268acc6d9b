"""The attempts of a task: those that failed, and the newest as the task's own row tells it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from pointsman_contract.errors import ErrorType
from pointsman_contract.states import TaskState
from pointsman_service.observe.tasks.task import TaskError, error_of

AttemptState = Literal["running", "succeeded", "failed", "cancelled", "interrupted", "held"]
"""Interrupted: its worker went away without an outcome, or was stopped. Held: it met an open circuit breaker."""

_UNCOUNTED: Mapping[str, AttemptState] = {ErrorType.INTERRUPTED: "interrupted", ErrorType.HELD: "held"}
_NEWEST: Mapping[TaskState, AttemptState] = {
    TaskState.RUNNING: "running",
    TaskState.SUCCEEDED: "succeeded",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "cancelled",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that started."""

    attempt: int
    state: AttemptState
    worker: str | None
    started_at: datetime | None
    finished_at: datetime | None
    run_seconds: float | None
    error: TaskError | None


def attempts_of(row: Mapping[str, Any], failed: Iterable[Mapping[str, Any]]) -> list[Attempt]:
    """The attempts of the task of this row, oldest first, from the rows of those that failed."""
    found = {attempt["attempt"]: _attempt(attempt, _how(attempt)) for attempt in failed}
    newest = found.get(row["attempt"])
    if newest is not None and row["state"] == TaskState.CANCELLED and row.get("run_seconds") is not None:
        # It ended the task. One that had failed before the task was cancelled did not.
        found[newest.attempt] = newest = replace(newest, state="cancelled")
    # A worker that was taken for dead may still have told of its success.
    unsaid = newest is None or (newest.state == "interrupted" and row["state"] == TaskState.SUCCEEDED)
    if row["attempt"] and unsaid:
        found[row["attempt"]] = _attempt(row, _NEWEST.get(row["state"], "interrupted"))
    return [found[attempt] for attempt in sorted(found)]


def _how(attempt: Mapping[str, Any]) -> AttemptState:
    return _UNCOUNTED.get(attempt["error_type"], "failed")


def _attempt(row: Mapping[str, Any], state: AttemptState) -> Attempt:
    return Attempt(
        attempt=row["attempt"],
        state=state,
        worker=row["worker"],
        started_at=row["started_at"],
        finished_at=row.get("finished_at"),
        run_seconds=row.get("run_seconds"),
        error=error_of(row),
    )
