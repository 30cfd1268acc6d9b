"""The Task of a submission that was accepted just now, as JSON text.

The same as ``task_view`` of its row, which a test holds; written straight from the parts, because this is the answer of
the one hot route and the arguments are JSON text already.
"""

from datetime import UTC, datetime
from functools import lru_cache

from pydantic_core import to_json

from pointsman_service.store.tasks.submitting import NewTask

_REST = (
    b'"started_at":null,"finished_at":null,"queue_wait_seconds":null,"run_seconds":null,"worker":null,"result":null,'
    b'"error":null,"progress":null,"held_reason":null,"held_seconds":0.0,"retry_at":null,"cancel_requested_at":null,'
    b'"cancel_requested_by":null,"replayed_from":null,"replayed_as":null,"attempt":0,"interruptions":0,'
    b'"uncertain_sendings":0,"predicted_wait":null,"cut":[],"masked":[],'
)


def receipt(task: NewTask, submitted_at: datetime) -> bytes:
    """The Task as it was stored at ``submitted_at``."""
    due_at = task.due_at(submitted_at)
    state = b"queued" if due_at == submitted_at else b"scheduled"
    dispatch = b"1" if task.is_sent(submitted_at) else b"0"
    submitted = _moment(submitted_at)
    return b"".join(
        (
            b'{"id":"',
            task.id.encode(),
            b'",',
            _kind(task.task_type, task.queue, task.priority, task.max_attempts),
            b'"args":',
            task.args.encode(),
            b',"kwargs":',
            task.kwargs.encode(),
            b',"tags":',
            b"{}" if task.tags is None else task.tags.encode(),
            b',"fairness_key":',
            _text(task.fairness_key) if task.fairness_key else b"null",
            b',"state":"',
            state,
            b'","dispatch":',
            dispatch,
            b',"submitted_at":',
            submitted,
            b',"due_at":',
            submitted if due_at == submitted_at else _moment(due_at),
            b',"scheduled_at":',
            _moment(task.scheduled_at),
            b',"expires_at":',
            _moment(task.expires_at),
            b',"delay_seconds":',
            _number(task.delay_seconds),
            b',"timeout_seconds":',
            _number(task.requested_timeout_seconds),
            b',"dependencies":',
            b"[]" if task.dependencies is None else to_json(task.depends_on()),
            b",",
            _REST,
            # Nothing is late at the moment it is stored.
            b'"sla":{"target_seconds":',
            _number(task.sla_seconds),
            b',"met":null}}',
        )
    )


@lru_cache(maxsize=4096)
def _kind(task_type: str, queue: str, priority: int, max_attempts: int) -> bytes:
    """What is the same for all tasks of a kind."""
    fields = {"task_type": task_type, "queue": queue, "priority": priority, "max_attempts": max_attempts}
    return to_json(fields)[1:-1] + b","


@lru_cache(maxsize=64)
def _moment(at: datetime | None) -> bytes:
    # Cached because all tasks of one commit were stored at one moment.
    if at is None:
        return b"null"
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return b'"' + at.isoformat()[:-6].encode() + b'Z"'


@lru_cache(maxsize=1024)
def _text(value: str) -> bytes:
    return to_json(value)


def _number(value: float | None) -> bytes:
    return b"null" if value is None else repr(value).encode()
