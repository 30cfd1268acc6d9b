"""The versioned part of a message that makes it *managed*: one header beside Celery's own (protocol 2).

A message without this header is native Celery and none of our business but to be recorded.
"""

from typing import Any, NotRequired, TypedDict
from uuid import UUID

VERSION = 1
"""Of messages, events, beats and scripts. A new version reads what the one before writes, and its control plane writes
messages in the form of the one before for as long as that lasts: service and workers are not replaced in one moment.
"""
HEADER = "pointsman"


class ManagedHeader(TypedDict):
    """The value of the ``pointsman`` header. Times are Unix seconds on the Redis clock unless said otherwise."""

    version: int
    epoch: int
    """The epoch of Redis data this message belongs to."""
    dispatch: int
    """Which sending of the task this is, from 1. For the logs; it fences nothing."""
    after: int
    """The row's attempt when the message was sent: the claim must not have gone past it."""
    max_attempts: NotRequired[int]
    """The number of the last attempt: the task's budget, and its interruptions. Absent in messages of a control plane
    that did not know of retries."""
    interruptions: NotRequired[int]
    """Attempts that ended with their worker, when there were any: the budget does not count them."""
    dependencies: NotRequired[list[str]]
    """What the task depends on, when there is anything: their circuit breakers may hold it."""
    expires_at: float | None
    """The task must not start at or after this moment."""
    traceparent: str | None
    """W3C trace context of the submission."""
    sequence: int
    """Number of the message on its list, given by the publish script."""
    sent_at: float
    """When the publish script wrote it."""


class UnsupportedMessage(Exception):
    """The message was written by a version of the control plane that this worker does not understand."""


def managed_header(headers: dict[str, Any]) -> ManagedHeader | None:
    """The managed header of a message, or None for a native one. Raises ``UnsupportedMessage`` for another version."""
    header = headers.get(HEADER)
    if header is None:
        return None
    if not isinstance(header, dict) or header.get("version") not in (VERSION - 1, VERSION):
        raise UnsupportedMessage(f"this worker understands message version {VERSION}, not {header!r}"[:200])
    return header  # type: ignore[return-value]  # checked by version, written by contract.lua.publish


def delivery_tag(task_id: str, dispatch: int) -> str:
    """Kombu's key for the unacknowledged message; unique for each sending."""
    return f"{task_id}.{dispatch}"


def sending_of(tag: bytes) -> tuple[str, int] | None:
    """The task and sending of a tag of ours, None for one of somebody else."""
    task, _, dispatch = tag.decode(errors="replace").rpartition(".")
    try:
        return str(UUID(task)), int(dispatch)
    except ValueError:
        return None
