"""Why a submission goes where it goes, in words: what ``pointsman_service.admit.routing`` decided, and by what."""

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.queues import QueueSpec, Topology
from pointsman_service.admit.routing import By, Decision


def by_urgency(topology: Topology) -> list[QueueSpec]:
    """The queues, the most urgent first."""
    return sorted(topology.queues, key=lambda queue: (-queue.priority, queue.name))


def why_queue(topology: Topology, spec: TaskTypeSpec, decision: Decision) -> str:
    """What led to the queue."""
    name = decision.queue.name
    missing = f"the task type's own queue {spec.queue} does not exist here; " if spec.queue else ""
    match decision.queue_by:
        case By.SUBMISSION:
            return f"{name}: the submission names it"
        case By.ROUTE:
            return f"{name}: the route {decision.route!r} of task_routes"
        case By.TASK_TYPE:
            return f"{name}: the task type's own queue"
        case By.PRIORITY:
            return f"{name}: {missing}nothing names a queue, so the priority decides: {_rule(topology, decision)}"
        case _:
            return f"{name}: {missing}nothing names a queue or a priority, and this is the fallback"


def why_priority(decision: Decision) -> str:
    """What led to the priority."""
    match decision.priority_by:
        case By.SUBMISSION:
            return f"{decision.priority}: the submission's"
        case By.ROUTE:
            return f"{decision.priority}: of the route {decision.route!r}"
        case By.TASK_TYPE:
            return f"{decision.priority}: the task type's own"
        case _:
            return f"{decision.priority}: the queue's own, as nothing else names one"


def _rule(topology: Topology, decision: Decision) -> str:
    queues = by_urgency(topology)
    open_ = ", ".join(f"{queue.name} {queue.priority}" for queue in queues if queue.accepts_any)
    dedicated = ", ".join(queue.name for queue in queues if not queue.accepts_any)
    besides = f" ({dedicated}: by name or route only)" if dedicated else ""
    if decision.queue.accepts_any and decision.queue.priority <= decision.priority:
        return f"of the queues that accept any task, {open_}, it has the highest not above {decision.priority}{besides}"
    return f"{decision.priority} is below all queues that accept any task, {open_}, and this is the fallback{besides}"
