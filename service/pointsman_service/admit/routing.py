"""Which queue and priority a task gets, and why.

First match wins: explicit queue, the configured route, the type's own queue, its priority.
"""

from enum import StrEnum
from typing import NamedTuple

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.queues import QueueSpec
from pointsman_service.errors import FieldError, UnknownQueue
from pointsman_service.settings import Settings


class By(StrEnum):
    """What decided."""

    SUBMISSION = "submission"
    ROUTE = "route"
    TASK_TYPE = "task_type"
    PRIORITY = "priority"
    """The rule that turns a priority into a queue."""
    QUEUE = "queue"
    """The queue's own priority."""
    FALLBACK = "fallback"
    """Nothing named a queue or a priority."""


class Decision(NamedTuple):
    """Where a submission goes."""

    queue: QueueSpec
    priority: int
    queue_by: By
    priority_by: By
    route: str | None
    """The name or pattern of the configured route of its task type, whether or not that decided."""


def route(settings: Settings, spec: TaskTypeSpec, queue: str | None, priority: int | None) -> tuple[QueueSpec, int]:
    """The queue and the priority of a submission. Raises as ``decide`` does."""
    decision = decide(settings, spec, queue, priority)
    return decision.queue, decision.priority


def decide(settings: Settings, spec: TaskTypeSpec, queue: str | None, priority: int | None) -> Decision:
    """The queue and the priority of a submission, with what decided each.

    A task without a priority takes its route's, then its type's, then its queue's. Raises ``UnknownQueue`` for an
    explicit queue that does not exist.
    """
    name, configured = settings.task_routes.find(spec.name) or (None, None)
    wanted, priority_by = priority, By.SUBMISSION
    if wanted is None and configured is not None:
        wanted, priority_by = configured.priority, By.ROUTE
    if wanted is None:
        wanted, priority_by = spec.priority, By.TASK_TYPE

    found, queue_by = _explicit(settings, queue), By.SUBMISSION
    if found is None and configured is not None:
        found, queue_by = settings.topology.queue(configured.queue), By.ROUTE
    if found is None and spec.queue is not None:
        # A type may name a queue this installation does not have; then its priority decides.
        found, queue_by = settings.topology.queue(spec.queue), By.TASK_TYPE
    if found is None and wanted is not None:
        found, queue_by = settings.topology.by_priority(wanted), By.PRIORITY
    if found is None:
        found, queue_by = _fallback(settings), By.FALLBACK
    if wanted is None:
        wanted, priority_by = found.priority, By.QUEUE
    return Decision(found, wanted, queue_by, priority_by, name)


def _explicit(settings: Settings, queue: str | None) -> QueueSpec | None:
    if queue is None:
        return None
    found = settings.topology.queue(queue)
    if found is None:
        names = ", ".join(spec.name for spec in settings.topology.queues)
        raise UnknownQueue(
            f"There is no queue {queue!r}; the queues are {names}.",
            errors=[FieldError(pointer="/queue", detail=f"must be one of {names}")],
        )
    return found


def _fallback(settings: Settings) -> QueueSpec:
    fallback = settings.topology.queue(settings.topology.fallback)
    assert fallback is not None
    return fallback
