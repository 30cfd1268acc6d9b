"""Whether the names in a filter exist: one that does not would find nothing, for ever, and nobody would be told."""

from pointsman_contract.queues import Topology
from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.errors import FieldError, UnknownTaskType


async def unknown_names(
    catalogue: Catalogue, topology: Topology, *, queue: str | None, task_type: str | None
) -> list[FieldError]:
    """A fault for a queue that is not configured, and for a task type that no worker has published.

    To be asked when a filter has found nothing: tasks of a queue or a type that is gone may still be kept.
    """
    faults = []
    if queue is not None and topology.queue(queue) is None:
        names = ", ".join(spec.name for spec in topology.queues)
        faults.append(FieldError(pointer="/queue", detail=f"there is no such queue; the queues are {names}"))
    if task_type is not None:
        try:
            await catalogue.find(task_type)
        except UnknownTaskType:
            faults.append(FieldError(pointer="/task_type", detail="no worker has published this task type"))
    return faults
