"""Change one task that waits: its queue, its priority, when it is due."""

from datetime import datetime
from uuid import UUID

from pointsman_service.api.requests.parameters import bounded
from pointsman_service.dashboard.asking import NO_REASON, Ask
from pointsman_service.dashboard.components.moments import exact, local, machine, moment_of
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, Undo, View
from pointsman_service.dashboard.tasks.here import page
from pointsman_service.dashboard.tasks.one import found, head_of
from pointsman_service.errors import FieldError, InvalidRequest, UnknownTask
from pointsman_service.observe.tasks.task import Task
from pointsman_service.operate.act import ActKind
from pointsman_service.operate.change import Change

_WHENS = {"": "as it is", "now": "now", "at": "at"}


@page.shows("{task_id:uuid}/change")
async def show_change(ask: Ask) -> View:
    """The form."""
    return await _form(ask, None)


@page.acts("{task_id:uuid}/change", ActKind.CHANGE)
async def change(ask: Ask) -> Done | View:
    """Change it; the undo puts back what it was."""
    task_id: UUID = ask.names["task_id"]
    seen = await ask.parts.views.tasks.find(task_id)
    if seen is None:
        raise UnknownTask
    old = seen.task
    try:
        wanted = _wanted(ask, old)
        await ask.parts.changer.change(ask.caller, task_id, wanted, ask.reason(NO_REASON))
    except InvalidRequest as error:
        return await _form(ask, error)
    return Done(text=f"Changed: {_said(wanted)}.", path=place("tasks", task_id), undo=_undo(old, wanted))


async def _form(ask: Ask, error: InvalidRequest | None) -> View:
    seen, unknown = await found(ask)
    if seen is None:
        return unknown
    task, form = seen.task, ask.form
    return View(
        template="tasks/change.html",
        title=f"change {task.task_type}",
        status=200 if error is None else error.status,
        values=head_of(ask, seen)
        | {
            "faults": _faults(error),
            "queues": {spec.name: spec.name for spec in ask.parts.settings.topology.queues},
            "priorities": {str(number): str(number) for number in range(10, -1, -1)},
            "whens": {name: words for name, words in _WHENS.items() if name},
            "filled": {
                "queue": form.get("queue") or task.queue,
                "priority": form.get("priority") or str(task.priority),
                "when": form.get("when", ""),
                "at": form.get("at") or local(machine(task.due_at)),
                "reason": form.get("reason", ""),
            },
        },
    )


def _wanted(ask: Ask, old: Task) -> Change:
    """What differs from the task as it is. Raises ``InvalidRequest``."""
    queue = ask.form.get("queue", "")
    priority = ask.whole("priority", 0, 10) if ask.form.get("priority") else old.priority
    when = ask.form.get("when", "")
    due_at: datetime | None = None
    if when == "at":
        try:
            due_at = bounded(moment_of(ask.form.get("at", "")))
        except ValueError as error:
            fault = FieldError(pointer="/at", detail="a date and a time, as 2026-11-29T08:30")
            raise InvalidRequest(errors=[fault]) from error
    wanted = Change(
        queue=queue if queue and queue != old.queue else None,
        priority=priority if priority != old.priority else None,
        due_at=due_at,
        delay_seconds=0.0 if when == "now" else None,
    )
    if wanted == Change():
        raise InvalidRequest(errors=[FieldError(pointer="", detail="nothing differs from what it is")])
    return wanted


def _undo(old: Task, wanted: Change) -> Undo:
    fields = {}
    if wanted.queue is not None:
        fields["queue"] = old.queue
    if wanted.priority is not None:
        fields["priority"] = str(old.priority)
    if wanted.due_at is not None or wanted.delay_seconds is not None:
        fields |= {"when": "at", "at": machine(old.due_at)}
    return Undo(place("tasks", old.id, "change"), fields)


def _said(wanted: Change) -> str:
    parts = []
    if wanted.queue is not None:
        parts.append(f"queue {wanted.queue}")
    if wanted.priority is not None:
        parts.append(f"priority {wanted.priority}")
    if wanted.delay_seconds is not None:
        parts.append("due now")
    if wanted.due_at is not None:
        parts.append(f"due {exact(wanted.due_at)}")
    return ", ".join(parts)


def _faults(error: InvalidRequest | None) -> list[tuple[str, str]]:
    """Each fault as the field it is in and what is wrong there."""
    if error is None:
        return []
    return [(fault["pointer"].removeprefix("/"), fault["detail"]) for fault in error.errors] or [("", error.detail)]
