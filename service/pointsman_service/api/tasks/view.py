"""The Task as callers see it: the same shape wherever it is answered."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic_core import from_json

from pointsman_contract.states import TaskState
from pointsman_service.api.answers.answer import Verbatim, moment
from pointsman_service.api.answers.payloads import Payload
from pointsman_service.api.answers.predicted_wait import PredictedWaitView
from pointsman_service.api.documentation.examples import with_nulls
from pointsman_service.observe.tasks.task import TaskError, TaskProgress, task_of

EXAMPLE_TASK: dict[str, Any] = {
    "id": "01a20271-c811-71a5-99c0-510fde22a57d",
    "task_type": "echo",
    "args": [],
    "kwargs": {"to": "a@example.org"},
    "queue": "reports",
    "priority": 6,
    "scheduled_at": None,
    "delay_seconds": None,
    "expires_at": None,
    "timeout_seconds": None,
    "fairness_key": None,
    "tags": {"tenant": "42"},
    "dependencies": [],
    "state": "succeeded",
    "attempt": 1,
    "max_attempts": 4,
    "interruptions": 0,
    "uncertain_sendings": 0,
    "submitted_at": "2026-11-22T08:30:00.120000Z",
    "due_at": "2026-11-22T08:30:00.120000Z",
    "started_at": "2026-11-22T08:30:00.135000Z",
    "finished_at": "2026-11-22T08:30:00.137500Z",
    "queue_wait_seconds": 0.015,
    "run_seconds": 0.0025,
    "worker": "reports@host-1",
    "result": {"args": [], "kwargs": {"to": "a@example.org"}},
    "error": None,
    "progress": None,
    "sla": {"target_seconds": 60.0, "met": True},
    "held_reason": None,
    "held_seconds": 0.0,
    "retry_at": None,
    "cancel_requested_at": None,
    "cancel_requested_by": None,
    "replayed_from": None,
    "replayed_as": None,
    "dispatch": 1,
    "predicted_wait": None,
    "cut": [],
    "masked": [],
}


class ErrorView(BaseModel):
    """Why an attempt failed."""

    type: str = Field(description="The exception's class.")
    message: Annotated[str, Payload("")]
    traceback: Annotated[str, Payload("")] = Field(description="The newest frames, at most 8 KiB.")
    group: str | None = Field(
        description="For `GET /v1/errors/{id}`. Null: it counts for none, or failed before there were error groups."
    )


class ProgressView(BaseModel):
    """How far the newest attempt is, as its body says."""

    state: Annotated[str, Payload("PROGRESS")] = Field(
        description="`PROGRESS`, or what the task named with `update_state`."
    )
    current: float | None
    total: float | None
    note: Annotated[str, Payload("")]
    meta: Annotated[dict[str, Any] | None, Payload()] = Field(description="What `update_state` gave.")
    updated_at: AwareDatetime | None = Field(description="By the worker's clock.")


class SlaView(BaseModel):
    """The queue's target for queue wait."""

    target_seconds: float
    met: bool | None = Field(description="False as soon as the target passes unstarted; null until it is known.")


class TaskView(BaseModel):
    """One task."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [with_nulls(EXAMPLE_TASK)]})

    id: str = Field(description="UUIDv7: ids sort by submission.")
    task_type: str
    args: Annotated[list[Any], Payload([])]
    kwargs: Annotated[dict[str, Any], Payload({})]
    queue: str
    priority: int = Field(description="0 to 10, 10 the most urgent.")
    scheduled_at: AwareDatetime | None = Field(
        description="What the submission asked for; while it is retrying, when the next attempt is due."
    )
    delay_seconds: float | None
    expires_at: AwareDatetime | None
    timeout_seconds: float | None = Field(description="What the submission asked for.")
    fairness_key: Annotated[str | None, Payload()] = Field(
        description="Tasks of its caller that wait in a queue take turns by this."
    )
    tags: Annotated[dict[str, str], Payload({})]
    dependencies: list[str] = Field(description="What it depends on: by its type, its arguments, its submission.")
    state: TaskState
    attempt: int = Field(description="The newest attempt that started; 0 before the first.")
    max_attempts: int = Field(description="Attempts until it is failed, interrupted ones not counted.")
    interruptions: int = Field(description="Attempts that ended with their worker and not by themselves.")
    uncertain_sendings: int = Field(
        description="How often it was sent again while nobody knew whether it had run: Redis had lost what it knew."
    )
    submitted_at: AwareDatetime
    due_at: AwareDatetime = Field(description="When the newest attempt was due, or the next one is.")
    started_at: AwareDatetime | None = Field(description="Start of the newest attempt.")
    finished_at: AwareDatetime | None
    queue_wait_seconds: float | None = Field(description="From due to started, without the time it was held.")
    run_seconds: float | None = Field(description="From started to finished.")
    worker: str | None
    result: Annotated[Any, Payload()]
    error: ErrorView | None = Field(
        description="Of the attempt that ended it; of the last one while it waits for the next, in whatever state, and"
        " when it was cancelled or expired after that."
    )
    progress: ProgressView | None
    sla: SlaView
    held_reason: str | None = Field(description="`breaker:<scope>:<name>` when a circuit breaker holds it.")
    held_seconds: float = Field(description="How long it was held in all. That counts into no queue wait.")
    retry_at: AwareDatetime | None = Field(
        description="While a circuit breaker holds it: when that lets probes through; null when nobody knows."
    )
    cancel_requested_at: AwareDatetime | None = Field(
        description="Since when it is to be cancelled: no attempt starts once the workers' gate knows that."
    )
    cancel_requested_by: str | None = Field(
        description="Who asked for that: a caller, or a remote control command of Celery's."
    )
    replayed_from: str | None = Field(description="The ended task that this one runs again.")
    replayed_as: str | None = Field(description="The new task that runs this ended one again.")
    dispatch: int = Field(description="How often the task was sent to the broker.")
    predicted_wait: PredictedWaitView | None = Field(
        description="How much longer it is expected to wait, asked for by id and while it is due and has not started;"
        " null of every other, in lists, and in the answer to a submission. Behind more than 2,000 it is told how long"
        " one would wait that comes now."
    )
    cut: list[str] = Field(
        description="What is too long to be shown among many tasks: `args`, `kwargs`, `result` and `progress` of more"
        " than 4 KiB are left empty, `error.message` and `error.traceback` are shortened. By id a task is whole."
    )
    masked: list[str] = Field(
        description="What is not shown because the caller lacks the scope `payload:read`: `args`, `kwargs`, `tags`,"
        " `fairness_key`, `result`, `error.message`, `error.traceback`, and of `progress` all but how far it is."
    )


def task_view(row: Mapping[str, Any], now: datetime | None = None) -> dict[str, Any]:
    """The fields of ``TaskView`` as JSON takes them, from a row of ``task`` or ``task_live``. ``now`` as ``task_of``
    takes it.
    """
    task = task_of(row, now)
    return {
        "id": str(task.id),
        "task_type": task.task_type,
        "args": [] if task.args is None else _from_text(task.args),
        "kwargs": {} if task.kwargs is None else _from_text(task.kwargs),
        "queue": task.queue,
        "priority": task.priority,
        "scheduled_at": moment(task.scheduled_at),
        "delay_seconds": task.delay_seconds,
        "expires_at": moment(task.expires_at),
        "timeout_seconds": task.timeout_seconds,
        "fairness_key": task.fairness_key,
        "tags": task.tags,
        "dependencies": list(task.dependencies),
        "state": str(task.state),
        "attempt": task.attempt,
        "max_attempts": task.max_attempts,
        "interruptions": task.interruptions,
        "uncertain_sendings": task.uncertain_sendings,
        "submitted_at": moment(task.submitted_at),
        "due_at": moment(task.due_at),
        "started_at": moment(task.started_at),
        "finished_at": moment(task.finished_at),
        "queue_wait_seconds": task.queue_wait_seconds,
        "run_seconds": task.run_seconds,
        "worker": task.worker,
        "result": _from_text(task.result),
        "error": error_view(task.error),
        "progress": None if task.progress is None else progress_view(task.progress),
        "sla": {"target_seconds": task.sla_seconds, "met": task.sla_met},
        "held_reason": task.held_reason,
        "held_seconds": task.held_seconds,
        "retry_at": moment(task.retry_at),
        "cancel_requested_at": moment(task.cancel_requested_at),
        "cancel_requested_by": task.cancel_requested_by,
        "replayed_from": _id(task.replayed_from),
        "replayed_as": _id(task.replayed_as),
        "dispatch": task.dispatch,
        "predicted_wait": None,
        "cut": list(task.cut),
        "masked": [],
    }


def error_view(error: TaskError | None) -> dict[str, Any] | None:
    """The fields of ``ErrorView``, or None when there was no error."""
    if error is None:
        return None
    group = None if error.group is None else str(error.group)
    return {"type": error.type, "message": error.message, "traceback": error.traceback, "group": group}


def progress_view(progress: TaskProgress) -> dict[str, Any]:
    """The fields of ``ProgressView``."""
    return {
        "state": progress.state,
        "current": progress.current,
        "total": progress.total,
        "note": progress.note,
        "meta": _from_text(progress.meta),
        "updated_at": moment(progress.updated_at),
    }


def _from_text(text: str | None) -> Any:
    """The value of JSON text, for ``json_bytes``. What JSON has no word for (NaN), and what is nested deeper than
    Python's own parser goes (some 900 levels), is given as the text it is.
    """
    if text is None:
        return None
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        return _deep(text) if "recursion limit" in str(error) else text


def _deep(text: str) -> Any:
    try:
        written = json.dumps(json.loads(text), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        written.encode()
    except (ValueError, RecursionError):
        return text
    return Verbatim(written)


def _id(value: UUID | None) -> str | None:
    return None if value is None else str(value)
