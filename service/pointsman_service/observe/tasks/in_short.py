"""What there is to say of a task among many, in a few words. Pure, from what a list has read already."""

from dataclasses import dataclass
from datetime import datetime

from pointsman_contract.states import TaskState
from pointsman_service.breaker.last_error import in_a_line
from pointsman_service.observe.queues import QueueFigures
from pointsman_service.observe.spans import short_span
from pointsman_service.observe.tasks.task import Task, TaskProgress

_BY_BREAKER = "breaker:"
_HELD = {"quarantine": "in quarantine", "unknown_task_type": "no live worker knows its type"}
_MOST_ERROR = 160


@dataclass(frozen=True, slots=True)
class InShort:
    """Words, and the moment that they lead up to."""

    text: str
    at: datetime | None = None
    past: str = ""
    """What is said in the place of that moment once it is over, for nothing needs to have happened then; empty: that it
    is over.
    """


def in_short(task: Task, queue: QueueFigures | None, *, reads_payloads: bool = True) -> InShort:
    """Why it waits, how far it is, or how it ended. ``queue``: its own, where that is known.

    Without ``reads_payloads`` neither messages of errors nor what a body says of its progress.
    """
    match task.state:
        case TaskState.SCHEDULED:
            return InShort("due", task.due_at)
        case TaskState.RETRYING:
            return InShort(f"{_error(task, reads_payloads)}; again", task.due_at, "as soon as may be")
        case TaskState.HELD:
            return _held(task)
        case TaskState.QUEUED:
            return _queued(task, queue)
        case TaskState.RUNNING:
            return InShort(_running(task, reads_payloads), task.started_at)
        case TaskState.SUCCEEDED:
            return InShort(_ran(task))
        case TaskState.FAILED:
            again = ", run again" if task.replayed_as is not None else ""
            return InShort(_error(task, reads_payloads) + again)
        case TaskState.CANCELLED:
            return InShort(f"by {task.cancel_requested_by}" if task.cancel_requested_by else "")
        case TaskState.EXPIRED:
            return InShort("" if task.expires_at is None else "was to start", task.expires_at)


def _held(task: Task) -> InShort:
    why = task.held_reason or ""
    if why.startswith(_BY_BREAKER):
        name = why.removeprefix(_BY_BREAKER).partition(":")[2]
        if task.retry_at is None:
            return InShort(f"breaker of {name} is open")
        return InShort(f"breaker of {name} is open, tried again", task.retry_at, "at its next call")
    return InShort(_HELD.get(why, why))


def _queued(task: Task, queue: QueueFigures | None) -> InShort:
    if task.cancel_requested_at is not None:
        return InShort("is being cancelled")
    if queue is not None and queue.paused:
        return InShort(f"queue paused by {queue.paused_by}")
    if queue is not None and queue.consumers == 0:
        return InShort("no live worker")
    late = ", over its target" if task.sla_met is False else ""
    return InShort(f"waits{late}, due", task.due_at)


def _running(task: Task, reads_payloads: bool) -> str:
    if task.cancel_requested_at is not None:
        return "is being cancelled, since"
    far = "" if task.progress is None else how_far(task.progress, reads_payloads=reads_payloads)
    return f"{far}, since" if far else "since"


def how_far(progress: TaskProgress, *, reads_payloads: bool = True) -> str:
    """How far an attempt says it is."""
    found = ""
    share = share_of(progress)
    if share is not None:
        found = f"{share * 100:.0f} %"
    elif isinstance(progress.current, int | float):
        found = f"{progress.current:g}"
    note = progress.note if reads_payloads and isinstance(progress.note, str) else ""
    return ", ".join(part for part in (found, note) if part)


def share_of(progress: TaskProgress) -> float | None:
    """From 0 to 1; None where it does not say of how much."""
    current, total = progress.current, progress.total
    if not isinstance(current, int | float) or not isinstance(total, int | float) or total <= 0:
        return None
    return min(max(current / total, 0.0), 1.0)


def _ran(task: Task) -> str:
    parts = []
    if task.run_seconds is not None:
        parts.append(f"ran {short_span(task.run_seconds)}")
    if task.queue_wait_seconds is not None:
        late = ", over its target" if task.sla_met is False else ""
        parts.append(f"waited {short_span(task.queue_wait_seconds)}{late}")
    return ", ".join(parts)


def _error(task: Task, reads_payloads: bool) -> str:
    if task.error is None:
        return "failed"
    if not reads_payloads:
        return task.error.type
    said = in_a_line(task.error.type, task.error.message)
    return said if len(said) <= _MOST_ERROR else said[: _MOST_ERROR - 1] + "…"
