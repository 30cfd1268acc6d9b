"""How much longer a task is expected to wait."""

from pointsman_contract.states import TaskState
from pointsman_service.observe.prediction.prediction import Prediction, Reason
from pointsman_service.observe.prediction.view import PredictionView
from pointsman_service.observe.tasks.task import Task
from pointsman_service.store.queues.holding import BY_BREAKER
from pointsman_service.store.queues.unserved import UNKNOWN_TASK_TYPE
from pointsman_service.store.store import Store
from pointsman_service.store.tasks import explaining

_MOST_COUNTED = 2_000
"""Of more the index that has their order is no longer the cheapest way to count."""


async def remaining_wait(store: Store, predictions: PredictionView, task: Task) -> Prediction | None:
    """From now on; None of a task that does not wait, or is not due. Raises the store's errors."""
    if task.state is TaskState.HELD:
        return _of_held(task.held_reason or "")
    if task.state is not TaskState.QUEUED:
        return None
    queue, priority = task.queue, task.priority
    async with store.statement() as connection:
        live = await explaining.live(connection, task.id)
        if live is None or live.state != TaskState.QUEUED:
            return None
        before, capped = await explaining.ahead_of(
            connection, task.id, queue, priority, task.due_at, live.place, live.sent_at, _MOST_COUNTED
        )
    # Behind so many it waits no longer than one that comes now.
    if capped:
        return predictions.of(queue, priority)
    return predictions.remaining(queue, priority, before)


def _of_held(reason: str) -> Prediction:
    if reason.startswith(BY_BREAKER):
        return Prediction.unsaid(Reason.BREAKER_OPEN)
    return Prediction.unsaid(Reason.NO_WORKER if reason == UNKNOWN_TASK_TYPE else Reason.NOT_KNOWN)
