"""Which queue and priority a task gets. First match wins: explicit queue, the type's own route, its priority."""

from contract.catalogue import TaskTypeSpec
from contract.queues import QueueSpec
from service.errors import FieldError, UnknownQueue
from service.settings import Settings


def route(settings: Settings, spec: TaskTypeSpec, queue: str | None, priority: int | None) -> tuple[QueueSpec, int]:
    """The queue and the priority of a submission. A task without a priority takes its type's, then its queue's.

    Raises ``UnknownQueue`` for an explicit queue that does not exist.
    """
    wanted = priority if priority is not None else spec.priority
    found = _explicit(settings, queue) or _routed(settings, spec)
    if found is None:
        found = _default(settings) if wanted is None else settings.topology.by_priority(wanted)
    return found, found.priority if wanted is None else wanted


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


def _routed(settings: Settings, spec: TaskTypeSpec) -> QueueSpec | None:
    override = settings.task_routes.get(spec.name)
    name = override.queue if override is not None else spec.queue
    # A type may name a queue this installation does not have; then its priority decides.
    return None if name is None else settings.topology.queue(name)


def _default(settings: Settings) -> QueueSpec:
    fallback = settings.topology.queue(settings.topology.fallback)
    assert fallback is not None
    return fallback
