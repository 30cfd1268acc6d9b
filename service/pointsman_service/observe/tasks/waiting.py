"""How much longer a task is expected to wait."""

from collections.abc import Mapping
from uuid import UUID

from pointsman_contract.dependencies import key_of
from pointsman_contract.states import TaskState
from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.observe.prediction.prediction import Prediction, Reason
from pointsman_service.observe.prediction.view import PredictionView
from pointsman_service.observe.tasks.task import Task
from pointsman_service.store import api_keys
from pointsman_service.store.breakers import breakers
from pointsman_service.store.queues import ahead, shares
from pointsman_service.store.queues.holding import BY_BREAKER
from pointsman_service.store.queues.shares import Share
from pointsman_service.store.queues.unserved import UNKNOWN_TASK_TYPE
from pointsman_service.store.store import Store
from pointsman_service.store.tasks import explaining
from pointsman_service.store.tasks.explaining import LiveRow
from pointsman_service.store.tasks.in_turn import before_in_turn

MOST_COUNTED = 2_000
"""Of more the index that has their order is no longer the cheapest way to count."""
_NEWEST = UUID(int=2**128 - 1)
"""No task that waits has an id above it."""


async def ahead_of(store: Store, task: Task, live: LiveRow, weights: Mapping[str, float]) -> tuple[int, bool]:
    """Tasks of its queue that start before one that is due, of equal or higher priority; and whether there are more
    than ``MOST_COUNTED``. Where callers take turns, by these ``weights`` and those of their keys, those that have their
    turn before, unless somebody comes anew.
    """
    queue, priority = task.queue, task.priority
    if not live.takes_turns:
        async with store.statement() as connection:
            return await explaining.ahead_of(
                connection, task.id, queue, priority, task.due_at, live.place, live.sent_at, MOST_COUNTED
            )
    share = Share(task.caller, task.fairness_key or "")
    async with store.transaction() as connection:
        before, capped = await explaining.ahead_of_its_priority(connection, queue, priority, MOST_COUNTED)
        weights = await api_keys.weights(connection, weights)
        before += await before_in_turn(
            connection, task.id, queue, priority, task.due_at, share, weights, MOST_COUNTED + 1
        )
    return min(before, MOST_COUNTED), capped or before > MOST_COUNTED


async def ahead_of_new(
    store: Store, weights: Mapping[str, float], queue: str, priority: int, share: Share
) -> int | None:
    """Tasks of a queue that start before one that a share submits now, due at once, counted as ``ahead_of`` does. None
    where they are more than ``MOST_COUNTED``, and where that is no matter of turns: nobody else waits there, or so many
    that not all are looked at. Raises the store's errors.
    """
    async with store.transaction() as connection:
        await shares.go_along_indexes(connection)
        line = await shares.line(connection, queue, priority)
        alone = await shares.alone_among(connection, queue, priority, 1)
        others = {*alone, *((caller, key) for caller, keys in line.items() for key in keys)} - {share}
        if not others or len(line) >= shares.MOST_CALLERS:
            return None
        before, capped = await explaining.ahead_of_its_priority(connection, queue, priority, MOST_COUNTED)
        weighed = await api_keys.weights(connection, weights)
        now = await ahead.now(connection)
        before += await before_in_turn(connection, _NEWEST, queue, priority, now, share, weighed, MOST_COUNTED + 1)
    return None if capped or before > MOST_COUNTED else before


async def remaining_wait(
    store: Store, predictions: PredictionView, task: Task, weights: Mapping[str, float]
) -> Prediction | None:
    """From now on; None of a task that does not wait, or is not due. ``weights``: of callers whose keys
    say nothing. Raises the store's
    errors.
    """
    if task.state is TaskState.HELD:
        return await _of_held(store, task.held_reason or "")
    if task.state is not TaskState.QUEUED:
        return None
    async with store.statement() as connection:
        live = await explaining.live(connection, task.id)
    if live is None or live.state != TaskState.QUEUED:
        return None
    before, capped = await ahead_of(store, task, live, weights)
    return behind(predictions, task.queue, task.priority, before, capped=capped)


def behind(predictions: PredictionView, queue: str, priority: int, before: int, *, capped: bool) -> Prediction:
    """Of a task with so many of its queue before it; ``capped``: or more, of which it waits no longer than one that
    comes now.
    """
    return predictions.of(queue, priority) if capped else predictions.remaining(queue, priority, before)


async def _of_held(store: Store, reason: str) -> Prediction:
    if not reason.startswith(BY_BREAKER):
        return Prediction.unsaid(Reason.UNKNOWN_TASK_TYPE if reason == UNKNOWN_TASK_TYPE else Reason.NOT_KNOWN)
    key = key_of(reason.removeprefix(BY_BREAKER))
    async with store.statement() as connection:
        found = (await breakers.find(connection, [key])).get(key)
    # One that was closed or reset lets go of what it held, at a rate that nobody predicts.
    holds = found is not None and found.seen not in (BreakerState.CLOSED, BreakerState.DISABLED)
    return Prediction.unsaid(Reason.BREAKER_OPEN if holds else Reason.NOT_KNOWN)
