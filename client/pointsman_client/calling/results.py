"""What an ended task gives its caller."""

from typing import Any

from pointsman_client.errors import NoResult, TaskCancelled, TaskExpired, TaskFailed
from pointsman_client.models import Task

_RAISED: dict[str, type[NoResult]] = {"failed": TaskFailed, "cancelled": TaskCancelled, "expired": TaskExpired}


def result_of(task: Task) -> Any:
    """The result of a task that has succeeded. Raises ``TaskFailed``, ``TaskCancelled`` and ``TaskExpired``."""
    kind = _RAISED.get(task.state)
    if kind is None:
        return task.result
    text = f"{task.task_type} {task.id} is {task.state}"
    if task.error is not None:
        text += f": {task.error.type}: {task.error.message}"
    raise kind(text, task)
