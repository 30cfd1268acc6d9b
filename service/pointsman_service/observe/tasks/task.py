"""One task as it is now, from its row: what is not written down is worked out here, once for every reader."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json

from pointsman_contract.states import TaskState
from pointsman_service.observe import sla


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why an attempt failed."""

    type: str
    """The exception's class."""
    message: str
    traceback: str
    """The newest frames, at most 8 KiB."""
    group: UUID | None = None
    """The error group that it belongs to, where one is known."""


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """How far an attempt is, as its body says: nobody has checked the types."""

    state: str | None
    """``PROGRESS``, or what the task named with ``update_state``."""
    current: float | None
    total: float | None
    note: str | None
    meta: str | None
    """JSON text of what ``update_state`` gave; of any depth."""
    updated_at: datetime | None
    """By the worker's clock."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task. Durations are in seconds."""

    id: UUID
    task_type: str
    args: str | None
    """JSON text, as the caller gave it; so are ``kwargs``, and ``result`` as the body returned it."""
    kwargs: str | None
    queue: str
    priority: int
    scheduled_at: datetime | None
    """What the submission asked for; while it is retrying, when the next attempt is due."""
    delay_seconds: float | None
    expires_at: datetime | None
    timeout_seconds: float | None
    """What the submission asked for."""
    tags: Mapping[str, str]
    dependencies: tuple[str, ...]
    state: TaskState
    attempt: int
    """The newest attempt that started; 0 before the first."""
    max_attempts: int
    interruptions: int
    uncertain_sendings: int
    submitted_at: datetime
    due_at: datetime
    """When the newest attempt was due, or the next one is."""
    started_at: datetime | None
    """Start of the newest attempt."""
    finished_at: datetime | None
    queue_wait_seconds: float | None
    """From due to started, without the time it was held; of a running task so far, None while that is not known."""
    run_seconds: float | None
    worker: str | None
    result: str | None
    error: TaskError | None
    """Of the attempt that ended it; of the last one while it is retrying."""
    progress: TaskProgress | None
    sla_seconds: float | None
    """The target for queue wait."""
    sla_met: bool | None
    """False as soon as the target passes unstarted; None until it is known."""
    held_reason: str | None
    """``breaker:<scope>:<name>`` when a circuit breaker holds it."""
    held_seconds: float
    """How long it was held in all, until now where it still is."""
    retry_at: datetime | None
    """While a circuit breaker holds it: when that lets probes through; None when nobody knows."""
    cancel_requested_at: datetime | None
    cancel_requested_by: str | None
    replayed_from: UUID | None
    """The ended task that this one runs again."""
    replayed_as: UUID | None
    """The new task that runs this ended one again."""
    dispatch: int
    """How often it was sent to the broker."""
    caller: str
    """Who submitted it, or had it run again."""
    fairness_key: str | None
    """Within its caller's tasks it takes turns by this; None: with all that name none."""
    held_at: datetime | None
    """Since when it is held, of one that is."""
    cut: tuple[str, ...]
    """What the row left out or shortened, because it was read among many."""


def task_of(row: Mapping[str, Any], now: datetime | None = None) -> Task:
    """The task of a row of ``task`` or ``task_live``. Columns that only finished tasks have may be missing.

    ``now`` decides whether an unstarted task has missed its target; it defaults to the row's ``read_at``, then to this
    process's clock.
    """
    return Task(
        id=row["id"],
        task_type=row["task_type"],
        args=row["args"],
        kwargs=row["kwargs"],
        queue=row["queue"],
        priority=row["priority"],
        scheduled_at=row["due_at"] if row["state"] == TaskState.RETRYING else row["scheduled_at"],
        delay_seconds=row["delay_seconds"],
        expires_at=row["expires_at"],
        timeout_seconds=_real(row["requested_timeout_seconds"]),
        tags=_tags(row["tags"]),
        dependencies=tuple(row["dependencies"] or ()),
        state=TaskState(row["state"]),
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        interruptions=row["interruptions"],
        uncertain_sendings=row["uncertain_sendings"],
        submitted_at=row["submitted_at"],
        due_at=row["due_at"],
        started_at=row["started_at"],
        finished_at=row.get("finished_at"),
        queue_wait_seconds=_queue_wait(row),
        run_seconds=row.get("run_seconds"),
        worker=row["worker"],
        result=row.get("result"),
        error=error_of(row),
        progress=progress_of(row["progress"]),
        sla_seconds=_real(row["sla_seconds"]),
        sla_met=_sla_met(row, now),
        held_reason=row["held_reason"],
        held_seconds=_held_seconds(row, now),
        retry_at=row.get("retry_at"),
        cancel_requested_at=row["cancel_requested_at"],
        cancel_requested_by=row["cancel_requested_by"],
        replayed_from=row["replayed_from"],
        replayed_as=row.get("replayed_as"),
        dispatch=row["dispatch"],
        caller=row["caller"],
        fairness_key=row["fairness_key"] or None,
        held_at=row.get("held_at"),
        cut=tuple(row.get("cut", ())),
    )


def error_of(row: Mapping[str, Any]) -> TaskError | None:
    """Why it failed, from the row of a task or of an attempt; None when there was no error."""
    if row.get("error_type") is None:
        return None
    return TaskError(
        row["error_type"], row["error_message"] or "", row["error_traceback"] or "", row.get("error_group")
    )


def progress_of(text: str | None) -> TaskProgress | None:
    """How far an attempt is, from what its row says; None when that says nothing."""
    told = None if text is None else _json(text)
    if not isinstance(told, dict):
        return None
    try:
        updated_at = datetime.fromtimestamp(float(told["at"]), UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        # What a worker reports is not ours: a page must not break on it.
        updated_at = None
    return TaskProgress(
        state=told.get("state"),
        current=told.get("current"),
        total=told.get("total"),
        note=told.get("note"),
        meta=None if told.get("meta") is None else _text(told["meta"]),
        updated_at=updated_at,
    )


def _json(text: str) -> Any:
    """The value of JSON text; None for what is none, or has a number that JSON has no word for."""
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        if "recursion limit" not in str(error):
            return None
    try:
        # Deeper than the other parser goes.
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    try:
        return to_json(value).decode()
    except ValueError:
        return json.dumps(value)


def _tags(tags: Mapping[str, str] | str | None) -> dict[str, str]:
    if isinstance(tags, str):
        return dict(from_json(tags))
    return dict(tags or {})


def _real(value: float | None) -> float | None:
    """A column of single precision without the digits it never had."""
    return None if value is None else float(f"{value:.7g}")


def _queue_wait(row: Mapping[str, Any]) -> float | None:
    kept: float | None = row.get("queue_wait_seconds")
    started_at: datetime | None = row["started_at"]
    due_at: datetime = row["due_at"]
    if kept is not None or started_at is None or row["state"] != TaskState.RUNNING:
        # Once an attempt has failed, the start is that one's and the due time the next one's.
        return kept
    held: float = row["held_wait_seconds"]
    return max(0.0, (started_at - due_at).total_seconds() - held)


def _held_seconds(row: Mapping[str, Any], now: datetime | None) -> float:
    before: float = row["held_seconds"]
    since: datetime | None = row.get("held_at")
    if since is None or row["state"] != TaskState.HELD:
        return before
    at = now or row.get("read_at") or datetime.now(UTC)
    return before + max(0.0, (at - since).total_seconds())


def _sla_met(row: Mapping[str, Any], now: datetime | None) -> bool | None:
    if row.get("finished_at") is not None or row.get("sla_met") is not None:
        kept: bool | None = row.get("sla_met")
        return kept
    if row["state"] == TaskState.HELD and row["started_at"] is None:
        # Time spent held does not count.
        return None
    at = now or row.get("read_at") or datetime.now(UTC)
    due_at = row["due_at"] + timedelta(seconds=row["held_wait_seconds"])
    return sla.met(due_at, row["started_at"], at, row["sla_seconds"])
