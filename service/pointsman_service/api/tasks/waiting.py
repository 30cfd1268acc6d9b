"""A task that was asked for by id, with how much longer it is expected to wait."""

from collections.abc import Mapping
from typing import Any

from pointsman_contract.states import TaskState
from pointsman_service.api.answers.predicted_wait import predicted_wait
from pointsman_service.api.parts import Parts
from pointsman_service.api.tasks.view import task_view
from pointsman_service.observe.tasks.task import task_of
from pointsman_service.observe.tasks.waiting import remaining_wait


async def waiting_view(parts: Parts, row: Mapping[str, Any]) -> dict[str, Any]:
    """``task_view`` of a row, with what is predicted of it."""
    said = None
    if row["state"] in (TaskState.HELD, TaskState.QUEUED):
        weights = parts.settings.caller_weights
        said = await remaining_wait(parts.store, parts.views.predictions, task_of(row), weights)
    return task_view(row) | {"predicted_wait": None if said is None else predicted_wait(said)}
