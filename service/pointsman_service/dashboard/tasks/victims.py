"""Whom the error of a task hit beside it: what runs again by the same act as from the page of the error."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pointsman_contract.states import TaskState
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.figures import MOST_COUNTED
from pointsman_service.observe.tasks.lists import TaskFilter
from pointsman_service.observe.tasks.reader import SeenTask
from pointsman_service.operate.act import ActKind

_COUNT_SECONDS: Final = 0.015


@dataclass(frozen=True)
class Victims:
    """Tasks that failed so for good and did not run again."""

    error_group: UUID
    tasks: int
    is_all: bool


async def victims_of(ask: Ask, seen: SeenTask) -> Victims | None:
    """Those of the newest error of a task; None where nobody but this task is one, its error is over, or the caller may
    not run them again.
    """
    task = seen.task
    errors = [one.error for one in seen.attempts] + [task.error]
    group = next((error.group for error in reversed(errors) if error is not None and error.group), None)
    if group is None or task.state is TaskState.SUCCEEDED or not ask.caller.may(ActKind.RETRY_MANY):
        return None
    wanted = TaskFilter(error_group=group, state=TaskState.FAILED, replayed=False)
    found = await ask.parts.views.task_lists.count(wanted, MOST_COUNTED, _COUNT_SECONDS)
    itself = task.state is TaskState.FAILED and task.replayed_as is None
    return Victims(group, found.tasks, found.is_all) if found.tasks > itself else None
