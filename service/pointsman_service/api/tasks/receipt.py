"""The Task of a submission that was accepted just now, as JSON text.

The same as ``task_view`` of its row, which a test holds; written straight from the parts, because this is the answer of
the one hot route and the arguments are JSON text already.
"""

from datetime import UTC, datetime
from functools import lru_cache

from pydantic_core import to_json

from pointsman_service.store.tasks.submitting import NewTask

_REST = (
    '"started_at":null,"finished_at":null,"queue_wait_seconds":null,"run_seconds":null,"worker":null,"result":null,'
    '"error":null,"progress":null,"held_reason":null,"held_seconds":0.0,"retry_at":null,"cancel_requested_at":null,'
    '"cancel_requested_by":null,"replayed_from":null,"replayed_as":null,"attempt":0,"interruptions":0,'
    '"uncertain_sendings":0,"predicted_wait":null,"cut":[],"masked":[],'
)


def receipt(task: NewTask, submitted_at: datetime) -> bytes:
    """The Task as it was stored at ``submitted_at``."""
    due_at = task.due_at(submitted_at)
    is_due = due_at == submitted_at
    is_sent = is_due and task.sent_epoch is not None
    submitted = _moment(submitted_at)
    delay, timeout = task.delay_seconds, task.requested_timeout_seconds
    # Nothing is late at the moment it is stored.
    return (
        f'{{"id":"{task.id}",{_kind(task.task_type, task.queue, task.priority, task.max_attempts)}'
        f'"args":{task.args},"kwargs":{task.kwargs},"tags":{"{}" if task.tags is None else task.tags},'
        f'"fairness_key":{_text(task.fairness_key) if task.fairness_key else "null"},'
        f'"state":"{"queued" if is_due else "scheduled"}","dispatch":{1 if is_sent else 0},'
        f'"submitted_at":{submitted},"due_at":{submitted if is_due else _moment(due_at)},'
        f'"scheduled_at":{"null" if task.scheduled_at is None else _moment(task.scheduled_at)},'
        f'"expires_at":{"null" if task.expires_at is None else _moment(task.expires_at)},'
        f'"delay_seconds":{"null" if delay is None else repr(delay)},'
        f'"timeout_seconds":{"null" if timeout is None else repr(timeout)},'
        f'"dependencies":{"[]" if task.dependencies is None else to_json(task.depends_on()).decode()},'
        f'{_REST}"sla":{{"target_seconds":{task.sla_seconds!r},"met":null}}}}'
    ).encode()


@lru_cache(maxsize=4096)
def _kind(task_type: str, queue: str, priority: int, max_attempts: int) -> str:
    """What is the same for all tasks of a kind."""
    fields = {"task_type": task_type, "queue": queue, "priority": priority, "max_attempts": max_attempts}
    return to_json(fields)[1:-1].decode() + ","


@lru_cache(maxsize=64)
def _moment(at: datetime) -> str:
    # Cached because all tasks of one commit were stored at one moment.
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return f'"{at.isoformat()[:-6]}Z"'


@lru_cache(maxsize=1024)
def _text(value: str) -> str:
    return to_json(value).decode()
