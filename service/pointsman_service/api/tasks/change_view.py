"""A task as a stream of events shows it, in JSON."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from pydantic_core import to_json

from pointsman_service.api.answers.answer import json_bytes, moment, moment_of
from pointsman_service.api.answers.payloads import mask
from pointsman_service.api.tasks.view import ProgressView, progress_view
from pointsman_service.live.task_changes import TaskChange, Told
from pointsman_service.observe.tasks.task import progress_of

_NOTE_CHARACTERS = 200

EXAMPLE_CHANGE: dict[str, Any] = {
    "id": "01a20271-c811-71a5-99c0-510fde22a57d",
    "task_type": "generate_activity_report",
    "queue": "reports",
    "priority": 6,
    "state": "running",
    "attempt": 1,
    "max_attempts": 4,
    "worker": "reports@worker-1",
    "submitted_at": "2026-11-28T08:21:04.120000Z",
    "due_at": "2026-11-28T08:21:04.120000Z",
    "started_at": "2026-11-28T08:21:04.610000Z",
    "finished_at": None,
    "queue_wait_seconds": None,
    "run_seconds": None,
    "held_reason": None,
    "cancel_requested_at": None,
    "error_type": None,
    "error_group": None,
    "progress": {"state": "PROGRESS", "current": 3, "total": 12, "note": "march"},
}
"""A task after one change or several: what moves while it lives. Arguments, result and the text of its error are found
by its id.
"""
EXAMPLE_TOLD: dict[str, Any] = {"as_of": "2026-11-28T08:21:06.100000Z", "left_out": 0, "changes": [EXAMPLE_CHANGE]}
"""What changed since the event before it. ``left_out``: how many more, of too many at once."""


def change_json(change: TaskChange, *, reads_payloads: bool = True) -> bytes:
    """As ``EXAMPLE_CHANGE``, whole; without ``reads_payloads`` of its progress no more than how far it is."""
    return change.once(_whole) if reads_payloads else json_bytes(_masked(change))


def version_of(change: TaskChange, *, reads_payloads: bool = True) -> str:
    """Names what ``change_json`` says: another state of the task has another name."""
    return blake2b(change_json(change, reads_payloads=reads_payloads), digest_size=8).hexdigest()


def told_json(told: Told, *, reads_payloads: bool = True) -> bytes:
    """As ``EXAMPLE_TOLD``."""
    if reads_payloads:
        return told.once(_told)
    return _of_changes(told, (json_bytes(_masked(change)) for change in told.changes))


def _told(told: Told) -> bytes:
    return _of_changes(told, (change.once(_listed) for change in told.changes))


def _of_changes(told: Told, changes: Iterable[bytes]) -> bytes:
    return b'{"as_of":%b,"left_out":%d,"changes":[%b]}' % (
        to_json(moment_of(told.mark.at)),
        told.left_out,
        b",".join(changes),
    )


def _whole(change: TaskChange) -> bytes:
    return json_bytes(_view(change))


def _masked(change: TaskChange) -> dict[str, Any]:
    view = _view(change)
    if view["progress"] is not None:
        mask(ProgressView, view["progress"])
    return view


def _listed(change: TaskChange) -> bytes:
    view = _view(change)
    progress = view["progress"]
    if progress is not None and isinstance(progress["note"], str):
        progress["note"] = progress["note"][:_NOTE_CHARACTERS]
    return json_bytes(view)


def _view(change: TaskChange) -> dict[str, Any]:
    task = change.task
    return {
        "id": str(task.id),
        "task_type": task.task_type,
        "queue": task.queue,
        "priority": task.priority,
        "state": task.state,
        "attempt": task.attempt,
        "max_attempts": task.max_attempts,
        "worker": task.worker,
        "submitted_at": moment(task.submitted_at),
        "due_at": moment(task.due_at),
        "started_at": moment(task.started_at),
        "finished_at": moment(task.finished_at),
        "queue_wait_seconds": task.queue_wait_seconds,
        "run_seconds": task.run_seconds,
        "held_reason": task.held_reason,
        "cancel_requested_at": moment(task.cancel_requested_at),
        "error_type": task.error_type,
        "error_group": None if task.error_group is None else str(task.error_group),
        "progress": _progress(task.progress),
    }


def _progress(text: str | None) -> Mapping[str, Any] | None:
    progress = progress_of(text)
    if progress is None:
        return None
    view = progress_view(progress)
    # Without what is of any size and depth, as its author likes.
    return {name: view[name] for name in ("state", "current", "total", "note")}
