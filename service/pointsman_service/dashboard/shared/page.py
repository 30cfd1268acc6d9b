"""One task, read by whoever has a link to it: where it stands and, where the link says so, what came of it."""

from typing import Final

from pointsman_contract.states import TERMINAL, TaskState
from pointsman_service.access.checking import check_right
from pointsman_service.api.answers.masking import opened_by_link
from pointsman_service.api.requests.ids import id_of
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.page import Pace, Page, View
from pointsman_service.dashboard.rendering import OPENS
from pointsman_service.errors import OutsideKey, UnknownTask
from pointsman_service.live.topics import Topic
from pointsman_service.observe.tasks.in_short import how_far, share_of

page = Page("shared", "", question="A task", pace=Pace(frozenset({Topic.TASKS})))

_SAYS: Final = {
    TaskState.SCHEDULED: "It waits for its time.",
    TaskState.QUEUED: "It waits for its turn.",
    TaskState.HELD: "It is held back, and goes on by itself.",
    TaskState.RUNNING: "It is running.",
    TaskState.RETRYING: "It failed, and is tried again.",
    TaskState.SUCCEEDED: "It is done.",
    TaskState.FAILED: "It failed.",
    TaskState.CANCELLED: "It was cancelled.",
    TaskState.EXPIRED: "It was not begun in time.",
}


@page.shows("{task_id:uuid}")
async def show_shared(ask: Ask) -> View:
    """The task, for who comes with a link to it, or may see it anyway."""
    check_right(ask.caller, "get_task")
    task_id = id_of(str(ask.names["task_id"]))
    if ask.caller.task_id not in (None, task_id):
        raise OutsideKey("This link opens another task.")
    seen = None if task_id is None else await ask.parts.views.tasks.find(task_id)
    if seen is None:
        raise UnknownTask
    task = seen.task
    if not ask.caller.reaches(task.task_type, task.queue):
        raise OutsideKey("This task is not within what the key reaches.")
    reads = ask.caller.reads_payloads
    opens = await opened_by_link(task.id, ask.parts.store) if reads and ask.parts.sealer is not None else frozenset()
    return View(
        template="shared/task.html",
        title=f"{task.state}: {task.task_type}",
        says=_SAYS[task.state],
        values={
            "task": task,
            "reads": reads,
            OPENS: opens,
            "sentence": _SAYS[task.state],
            "ended": task.state in TERMINAL,
            "progress": task.progress if task.state is TaskState.RUNNING else None,
            "share": None if task.progress is None else share_of(task.progress),
            "far": "" if task.progress is None else how_far(task.progress, reads_payloads=reads),
        },
    )
