"""The task types of a node, as it publishes them."""

import inspect
import json
from dataclasses import dataclass
from typing import Any

from contract.catalogue import TaskTypeSpec
from contract.queues import Topology
from workers.arguments import Arguments

_BUILTIN = "celery."


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every task of an application that is not Celery's own."""

    specs: tuple[TaskTypeSpec, ...]

    @classmethod
    def of(cls, app: Any, topology: Topology) -> "Catalogue":
        """Read from the registry. Raises ``SystemExit`` naming a task that cannot be published."""
        tasks = [task for name, task in sorted(app.tasks.items()) if not name.startswith(_BUILTIN)]
        return cls(tuple(specify(task, topology) for task in tasks))

    def body(self, owner: str) -> str:
        """The body of a ``catalogue`` event."""
        return json.dumps({"worker": owner, "specs": [spec.model_dump(mode="json") for spec in self.specs]})


def specify(task: Any, topology: Topology) -> TaskTypeSpec:
    """One task type. Raises ``SystemExit`` when its options cannot be honoured."""
    queue = getattr(task, "queue", None)
    if queue is not None and topology.queue(queue) is None:
        raise SystemExit(f"Task {task.name} asks for the queue {queue}, which is not one of the configured queues.")
    if not task.time_limit:
        raise SystemExit(f"Task {task.name} has no time limit: a hanging run would never end.")
    if task.soft_time_limit and task.soft_time_limit >= task.time_limit:
        raise SystemExit(f"Task {task.name}: its soft time limit must be below its time limit of {task.time_limit} s.")
    arguments = getattr(task, "arguments", None)
    if arguments is None:
        arguments = Arguments.of(task)
    return TaskTypeSpec(
        name=task.name,
        description=inspect.cleandoc(task.__doc__ or "").partition("\n\n")[0].replace("\n", " "),
        queue=queue,
        priority=task.priority,
        time_limit_seconds=task.time_limit,
        soft_time_limit_seconds=task.soft_time_limit,
        positional=arguments.positional,
        positional_only=arguments.positional_only,
        extra_positional=arguments.extra_positional,
        arguments_schema=arguments.schema,
    )
