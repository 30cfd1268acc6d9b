"""Run a task again, as it is or edited, as a new task that names it; or submit one like one that has succeeded."""

from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import uuid_utils
from pydantic_core import from_json

from pointsman_contract.states import TaskState
from pointsman_service.access.scopes import KeyScope
from pointsman_service.admit.submission import Submission, parse_submission
from pointsman_service.callers import KnownBy
from pointsman_service.dashboard.asking import NO_REASON, Ask
from pointsman_service.dashboard.components.json_given import json_given
from pointsman_service.dashboard.components.json_text import indented
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, Undo, View
from pointsman_service.dashboard.tasks.here import page
from pointsman_service.dashboard.tasks.one import found, head_of
from pointsman_service.errors import (
    BodyTooLarge,
    FieldError,
    InvalidArguments,
    InvalidRequest,
    PointsmanError,
    ScopeMissing,
    UnknownTask,
)
from pointsman_service.observe.tasks.task import Task
from pointsman_service.operate.act import ActKind
from pointsman_service.operate.retry import OtherThan, without_values

SUBMIT: Final = "submit_task"
"""The right to make a task: no act, so it has the name of its operation."""
_KINDS: Final = {"args": (list, "[…]"), "kwargs": (dict, "{…}")}


@page.shows("{task_id:uuid}/again")
async def show_again(ask: Ask) -> View:
    """The form with what it ran with."""
    return await _form(ask, "again", None)


@page.shows("{task_id:uuid}/submit")
async def show_submit(ask: Ask) -> View:
    """The same of a task that has succeeded."""
    return await _form(ask, "submit", None)


@page.acts("{task_id:uuid}/again", ActKind.RETRY)
async def run_again(ask: Ask) -> Done | View:
    """As a new task. What the form leaves out, or has not changed, is taken over as it is."""
    old = await _old(ask)
    try:
        other = _other(ask, old)
        row, _ = await ask.parts.retrier.retry(ask.caller, old.id, ask.key(), None, ask.reason(NO_REASON), other)
    except (InvalidRequest, BodyTooLarge) as error:
        return await _form(ask, "again", error)
    new: UUID = row["id"]
    undo = Undo(place("tasks", new, "cancel"), {"how": "waiting"}, "Cancel the new one")
    return Done(text=f"It runs again, as this task: {old.task_type}.", path=place("tasks", new), undo=undo)


@page.acts("{task_id:uuid}/submit", SUBMIT)
async def submit(ask: Ask) -> Done | View:
    """A new task like one that has succeeded."""
    old = await _old(ask)
    try:
        other = _other(ask, old)
        body = {
            "task_type": old.task_type,
            "args": _value(old.args, []) if other.args is None else other.args,
            "kwargs": _value(old.kwargs, {}) if other.kwargs is None else other.kwargs,
            "queue": other.queue or old.queue,
            "priority": old.priority if other.priority is None else other.priority,
            "timeout_seconds": old.timeout_seconds,
            "max_attempts": old.max_attempts,
            "dependencies": list(old.dependencies),
            "fairness_key": old.fairness_key,
            "tags": dict(old.tags) or None,
        }
        submission = parse_submission(body, Submission)
        accepted = await ask.parts.submitter.submit(ask.caller, submission, ask.key(), None)
    except InvalidArguments as error:
        return await _form(ask, "submit", without_values(error, ask.caller, ()))
    except (InvalidRequest, BodyTooLarge) as error:
        return await _form(ask, "submit", error)
    undo = Undo(place("tasks", accepted.task_id, "cancel"), {"how": "waiting"}, "Cancel it")
    return Done(text=f"Submitted: {old.task_type}.", path=place("tasks", accepted.task_id), undo=undo)


async def _form(ask: Ask, how: str, error: PointsmanError | None) -> View:
    seen, unknown = await found(ask)
    if seen is None:
        return unknown
    task, form = _opened(ask, seen.task), ask.form
    return View(
        template="tasks/again.html",
        title=f"run {task.task_type} again",
        status=200 if error is None else error.status,
        values=head_of(ask, seen)
        | {
            "how": how,
            "right": ActKind.RETRY if how == "again" else SUBMIT,
            "why_not": _why_not(task, how),
            "faults": _faults(error),
            "queues": {spec.name: spec.name for spec in ask.parts.settings.topology.queues} | {task.queue: task.queue},
            "priorities": {str(number): str(number) for number in range(10, -1, -1)},
            "key": form.get("key") or str(uuid_utils.uuid7()),
            "filled": {
                "args": form.get("args", indented(task.args or "[]")),
                "kwargs": form.get("kwargs", indented(task.kwargs or "{}")),
                "queue": form.get("queue") or task.queue,
                "priority": form.get("priority") or str(task.priority),
                "reason": form.get("reason", ""),
            },
        },
    )


def _why_not(task: Task, how: str) -> str | None:
    if how == "submit":
        return None if task.state is TaskState.SUCCEEDED else "It has not succeeded: run it again instead."
    if task.finished_at is None:
        return f"It has not ended: it is {task.state}."
    if task.state is TaskState.SUCCEEDED:
        return "It has succeeded: submit such a task again instead."
    return None if task.replayed_as is None else "It was run again already: run that one again."


async def _old(ask: Ask) -> Task:
    seen = await ask.parts.views.tasks.find(ask.names["task_id"])
    if seen is None:
        raise UnknownTask
    return _opened(ask, seen.task)


def _opened(ask: Ask, task: Task) -> Task:
    sealer = ask.parts.sealer
    if sealer is None:
        return task
    args, kwargs = (text and sealer.opened_json_text(text) for text in (task.args, task.kwargs))
    return replace(task, args=args, kwargs=kwargs)


def _other(ask: Ask, old: Task) -> OtherThan:
    """What the form has otherwise. Raises ``InvalidRequest`` that names each field at fault."""
    faults: list[FieldError] = []
    given = {name: _given(ask, name, getattr(old, name), faults) for name in _KINDS}
    if faults:
        raise InvalidRequest(errors=faults)
    queue = ask.form.get("queue") or old.queue
    priority = ask.whole("priority", 0, 10) if ask.form.get("priority") else old.priority
    return OtherThan(
        args=given["args"],
        kwargs=given["kwargs"],
        queue=None if queue == old.queue else queue,
        priority=None if priority == old.priority else priority,
    )


def _given(ask: Ask, name: str, before: str | None, faults: list[FieldError]) -> Any:
    """The value of a text of JSON; None where it is the one of before."""
    text = ask.form.get(name)
    kind, looks_so = _KINDS[name]
    if text is None:
        return None
    if not ask.caller.reads_payloads:
        # Before it is compared: else whoever guesses would be told that it is right.
        raise ScopeMissing.of(KeyScope.PAYLOAD_READ, roles=ask.caller.known_by is KnownBy.OIDC)
    if _same(text, indented(before or looks_so.replace("…", ""))):
        return None
    try:
        value = json_given(text.strip() or looks_so.replace("…", ""), ask.parts.settings.json_depth)
    except ValueError as error:
        faults.append(FieldError(pointer=f"/{name}", detail=str(error)))
        return None
    if not isinstance(value, kind):
        faults.append(FieldError(pointer=f"/{name}", detail=f"must be {looks_so}"))
    return value


def _same(text: str, before: str) -> bool:
    # Browsers send lines that end in CR LF.
    return text.replace("\r\n", "\n").strip() == before.strip()


def _value(text: str | None, otherwise: Any) -> Any:
    return otherwise if text is None else from_json(text, allow_inf_nan=False)


def _faults(error: PointsmanError | None) -> list[tuple[str, str]]:
    """Each fault as the field it is in and what is wrong there."""
    if error is None:
        return []
    return [(fault["pointer"].removeprefix("/"), fault["detail"]) for fault in error.errors] or [("", error.detail)]
