"""The versioned part of a message that makes it *managed*: one header beside Celery's own (protocol 2).

A message without this header is native Celery and none of our business but to be recorded.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict
from uuid import UUID

from pointsman_contract.dependencies import is_name

VERSION = 1
"""Of messages, events, beats and scripts. A new version reads what the one before writes, and its control plane writes
messages in the form of the one before for as long as that lasts: service and workers are not replaced in one moment.
"""
UNDERSTOOD = (VERSION - 1, VERSION)
"""Versions of messages that are read."""
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
    signed: NotRequired[str]
    """``<time on the Redis clock> <name of the key> <MAC>`` over ``signed_text``, where messages are signed."""


class UnsupportedMessage(Exception):
    """The message was written by a version of the control plane that this worker does not understand."""


def managed_header(headers: dict[str, Any]) -> ManagedHeader | None:
    """The managed header of a message, or None for a native one. Raises ``UnsupportedMessage`` for another version."""
    header = headers.get(HEADER)
    if header is None:
        return None
    if not isinstance(header, dict) or header.get("version") not in UNDERSTOOD:
        raise UnsupportedMessage(f"this worker understands message version {VERSION}, not {header!r}"[:200])
    return header  # type: ignore[return-value]  # checked by version, written by pointsman_contract.lua.publish


_LARGEST = 2**31 - 1
"""Of an attempt or a sending: it fits a column, a slot and a Lua number."""
_LARGEST_EXACT = 2**53
"""Of any other count: above it a Lua number is not exact."""
_COUNTS = (("dispatch", _LARGEST), ("after", _LARGEST), ("epoch", _LARGEST_EXACT), ("sequence", _LARGEST_EXACT))
_MOST_DEPENDENCIES = 100
_TASK_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def header_fault(header: Any, task_id: Any) -> str | None:
    """What is wrong with a managed header so that scripts and slots could not take it; None when nothing is.

    Of one of another version only the version is read.
    """
    if type(header) is not dict or type(header.get("version")) is not int:
        return "is no object with a version"
    if type(task_id) is not str or _TASK_ID.fullmatch(task_id) is None:
        return "comes without the id of a task"
    if header["version"] not in UNDERSTOOD:
        return None
    get = header.get
    for name, largest in _COUNTS:
        if not _is_count(get(name), largest):
            return f"has a {name} that is no count"
    expires_at = get("expires_at", "")
    if not _is_time(get("sent_at")) or not (expires_at is None or _is_time(expires_at)):
        return "has a time that is none"
    return _optional_fault(header)


def _optional_fault(header: dict[str, Any]) -> str | None:
    get = header.get
    for name in ("max_attempts", "interruptions"):
        if not _is_count(get(name, 0), _LARGEST):
            return f"has a {name} that is no count"
    traceparent = get("traceparent", 0)
    if traceparent is not None and type(traceparent) is not str:
        return "has a traceparent that is no text"
    names = get("dependencies", [])
    if type(names) is not list or len(names) > _MOST_DEPENDENCIES or not all(map(is_name, names)):
        return "has dependencies that are no list of names"
    return None


def _is_count(value: Any, largest: int) -> bool:
    return type(value) is int and 0 <= value <= largest


def _is_time(value: Any) -> bool:
    return (type(value) is float and math.isfinite(value)) or (type(value) is int and abs(value) <= _LARGEST_EXACT)


_NOT_SIGNED = frozenset({"sequence", "sent_at", "signed"})
"""Of the managed header: the publish script writes the first two."""
_OF_THE_BROKER = frozenset({HEADER, "redelivered"})
"""Other headers that are not signed as they stand: kombu writes the second when it gives a message back."""


def signed_text(at: str, queue: str, body: str, headers: Mapping[str, Any]) -> bytes:
    """What is signed of a message: when and for which queue, its body as it stands in the message, every header."""
    told = {name: value for name, value in headers.items() if name not in _OF_THE_BROKER}
    managed = {name: value for name, value in headers[HEADER].items() if name not in _NOT_SIGNED}
    return json.dumps([at, queue, body, told, managed], sort_keys=True).encode()


def delivery_tag(task_id: str, dispatch: int) -> str:
    """Kombu's key for the unacknowledged message; unique for each sending."""
    return f"{task_id}.{dispatch}"


def sending_of(tag: bytes) -> tuple[str, int] | None:
    """The task and sending of a tag of ours, None for one of somebody else."""
    task, _, number = tag.decode(errors="replace").rpartition(".")
    try:
        sending = str(UUID(task)), int(number)
    except ValueError:
        return None
    # What reads as one is not yet one: a number too large for a column would stop whoever looks it up.
    return sending if 0 <= sending[1] <= _LARGEST and delivery_tag(*sending).encode() == tag else None
