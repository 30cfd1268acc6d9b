"""Tasks as they are followed."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pointsman_service.live.task_changes import TaskChange
from pointsman_service.store.tasks.following import FollowedTask

_AT = datetime(2026, 11, 28, 8, 21, tzinfo=UTC)
_TASK = FollowedTask(
    id=UUID(int=0),
    task_type="echo",
    queue="email",
    priority=7,
    caller="local",
    tags=None,
    state="queued",
    attempt=0,
    max_attempts=4,
    worker=None,
    submitted_at=_AT,
    due_at=_AT,
    started_at=None,
    finished_at=None,
    queue_wait_seconds=None,
    run_seconds=None,
    held_reason=None,
    cancel_requested_at=None,
    error_type=None,
    error_group=None,
    progress=None,
)


def change(number: int, **more: Any) -> TaskChange:
    """A change of the task with that id."""
    return TaskChange(replace(_TASK, id=UUID(int=number), **more))
