"""Cancel one task: at once where that can be taken back, and asked for where it cannot."""

import math
from typing import Final
from uuid import UUID

from pointsman_contract.states import TERMINAL, TaskState
from pointsman_service.dashboard.asking import NO_REASON, Ask
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, Undo, View
from pointsman_service.dashboard.tasks.here import page
from pointsman_service.dashboard.tasks.one import found, head_of
from pointsman_service.operate.act import ActKind

WORD: Final = "cancel"
_LONGEST_GRACE: Final = 86_400


@page.shows("{task_id:uuid}/cancel")
async def ask_to_cancel(ask: Ask) -> View:
    """What a cancel does to a task that runs, or is due later."""
    seen, unknown = await found(ask)
    if seen is None:
        return unknown
    return View(
        template="tasks/cancel.html",
        title=f"cancel {seen.task.task_type}",
        values=head_of(ask, seen)
        | {
            "word": WORD,
            "grace_seconds": ask.parts.settings.cancel_grace_seconds,
            "ended": seen.task.state in TERMINAL,
            "runs": seen.task.state is TaskState.RUNNING,
        },
    )


@page.acts("{task_id:uuid}/cancel", ActKind.CANCEL)
async def cancel(ask: Ask) -> Done:
    """Cancel it. Without the typed word only what waits ends; what has started meanwhile is left alone."""
    task_id: UUID = ask.names["task_id"]
    waiting_only = ask.form.get("how") == "waiting"
    if waiting_only:
        grace = math.inf
    else:
        ask.confirmed(WORD)
        grace = ask.number("grace", 0, _LONGEST_GRACE)
    done = await ask.parts.canceller.cancel(ask.caller, task_id, grace, ask.reason(NO_REASON if waiting_only else None))
    what = done.row["task_type"]
    path = place("tasks", task_id)
    if done.row["state"] == TaskState.CANCELLED:
        undo = Undo(place("tasks", task_id, "again"), label="Run it again") if waiting_only else None
        return Done(text=f"Cancelled: {what}.", path=path, undo=undo)
    runs = done.row["state"] == TaskState.RUNNING
    if waiting_only and runs:
        return Done(text=f"{what} has started meanwhile: this attempt goes on, and no other follows it.", path=path)
    told = "" if done.told else " Redis is away: workers are told once it is back."
    return Done(text=f"To be cancelled: {what}.{told}", path=path)
