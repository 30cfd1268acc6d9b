"""Tasks that have ended, written straight into their table."""

import json
from datetime import datetime
from typing import Any

import uuid_utils

from tests.integration.spine import Spine

PROBLEM = "urn:pointsman:problem:"


async def ended(
    spine: Spine,
    state: str = "failed",
    *,
    task_type: str = "noop",
    queue: str = "maintenance",
    error_type: str | None = "ValueError",
    finished_at: datetime | None = None,
    args: list[Any] | None = None,
) -> str:
    """A task that ended so; its id."""
    task_id = str(uuid_utils.uuid7())
    await spine.run(
        "INSERT INTO task (id, state, task_type, queue, priority, attempt, max_attempts, dispatch, sla_seconds,"
        " timeout_seconds, submitted_at, due_at, expires_at, caller, args, kwargs, tags, error_type, error_message,"
        " error_traceback, finished_at) VALUES (:id, :state, :task_type, :queue, 9, 1, 2, 1, 60, 30, now(), now(),"
        " now(), 'local', :args, '{\"a\": 1}', '{\"tenant\": \"7\"}', :error_type, 'no', '',"
        " coalesce(CAST(:finished_at AS timestamptz), now()))",
        id=task_id,
        state=state,
        task_type=task_type,
        queue=queue,
        error_type=error_type if state == "failed" else None,
        finished_at=finished_at,
        args=json.dumps(args or []),
    )
    return task_id
