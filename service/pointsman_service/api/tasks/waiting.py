"""A task that was asked for by id, with how much longer it is expected to wait."""

from collections.abc import Mapping
from typing import Any

from pointsman_contract.states import TaskState
from pointsman_service.api.answers.predicted_wait import predicted_wait
from pointsman_service.api.parts import Parts
from pointsman_service.api.tasks.view import task_view
from pointsman_service.observe.prediction.prediction import Prediction, Reason
from pointsman_service.store.queues.holding import BY_BREAKER
from pointsman_service.store.queues.unserved import UNKNOWN_TASK_TYPE
from pointsman_service.store.tasks import explaining

_MOST_COUNTED = 2_000
"""Of more the index that has their order is no longer the cheapest way to count."""


async def waiting_view(parts: Parts, row: Mapping[str, Any]) -> dict[str, Any]:
    """``task_view`` of a row, with what is predicted of it."""
    said = await _remaining_wait(parts, row)
    return task_view(row) | {"predicted_wait": None if said is None else predicted_wait(said)}


async def _remaining_wait(parts: Parts, row: Mapping[str, Any]) -> Prediction | None:
    """From now on; None of a task that does not wait, or is not due."""
    if row["state"] == TaskState.HELD:
        is_by_breaker = (row["held_reason"] or "").startswith(BY_BREAKER)
        is_unknown = row["held_reason"] == UNKNOWN_TASK_TYPE
        return Prediction.unsaid(
            Reason.BREAKER_OPEN if is_by_breaker else Reason.NO_WORKER if is_unknown else Reason.NOT_KNOWN
        )
    if row["state"] != TaskState.QUEUED:
        return None
    queue, priority = row["queue"], row["priority"]
    async with parts.store.statement() as connection:
        live = await explaining.live(connection, row["id"])
        if live is None or live.state != TaskState.QUEUED:
            return None
        before, capped = await explaining.ahead_of(
            connection, row["id"], queue, priority, row["due_at"], live.place, live.sent_at, _MOST_COUNTED
        )
    # Behind so many it waits no longer than one that comes now.
    if capped:
        return parts.views.predictions.of(queue, priority)
    return parts.views.predictions.remaining(queue, priority, before)
