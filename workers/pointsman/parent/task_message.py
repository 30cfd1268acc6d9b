"""What a message must be before Celery's worker sees it: a task as Celery or the control plane writes one.

Celery takes much on trust. A time limit that is a list of words, or a body that is ``null``, would end the node; given
back, the message would end the next one. ``check`` accepts whatever Celery itself writes, protocol 1 and 2.
"""

import time
from typing import Any

from celery.app.task import Context
from celery.utils.time import maybe_iso8601, maybe_make_aware

from pointsman.transport.envelope import NotAMessage, read_json
from pointsman.transport.envelope import check as check_envelope
from pointsman_contract.message import HEADER, header_fault

LONGEST_LIMIT_SECONDS = 10 * 366 * 86_400
"""Of a time limit: past it a timer's clock overflows."""
LATEST_START_SECONDS = 366 * 86_400
"""From now. What is to start later than that would lie in a worker's memory and never be seen."""

_JSON = "application/json"
_NAMES = ("shadow", "group", "root_id", "parent_id", "taskset")
"""Become keys, events and lines of a log."""
_TEXTS = ("lang", "eta", "expires", "argsrepr", "kwargsrepr", "origin", "meth", "method")
_COUNTS = ("retries", "group_index", "replaced_task_nesting")
_OBJECTS = ("stamps", "headers")
_FLAGS = ("ignore_result", "utc")
_MOST = 2**31
_RESERVED = frozenset(
    {name for name in dir(Context) if name.startswith("_") or callable(getattr(Context, name))}
    | {"called_directly", "children", "managed_run", "is_eager"}
)
"""A request takes every header for an attribute of its own: these would replace a part of it."""
_CALLBACKS = frozenset({"callbacks", "errbacks", "chain", "chord"})
_NOT_EMBEDDED = frozenset(dir(Context)) - _CALLBACKS | _RESERVED | {"task", HEADER}
"""The callbacks beside the arguments replace headers of their name."""


def check(message: Any) -> None:
    """Raises ``NotAMessage`` unless Celery can take ``message``. Its body is read once: the message keeps it."""
    envelope = getattr(message, "_raw", None)
    if envelope is not None and not getattr(message.channel, "checks_envelopes", False):
        check_envelope(envelope)
    headers = message.headers
    payload = _payload(message)
    if "task" not in headers:
        if type(payload) is not dict or "task" not in payload:
            raise NotAMessage("it names no task")
        _check_fields(payload)
        _check_call(payload.get("args", []), payload.get("kwargs", {}), payload)
        if headers:
            _check_names(headers)
    elif type(payload) is dict and "args" in payload:
        # Celery calls it a hybrid: the body of protocol 1 under the headers of protocol 2.
        _check_fields(payload | headers)
        _check_call(payload["args"], payload.get("kwargs", {}), payload)
    else:
        _check_fields(headers)
        if type(payload) is not list or len(payload) != 3:
            raise NotAMessage("its body is no list of arguments, keyword arguments and callbacks")
        _check_call(*payload)
        if payload[2] and not _NOT_EMBEDDED.isdisjoint(payload[2]):
            raise NotAMessage("one of its callbacks has the name of a header")


def _payload(message: Any) -> Any:
    body = message.body
    if message.content_type == _JSON and type(body) is bytes and _JSON in (message.accept or (_JSON,)):
        if message._decoded_cache is None:
            message._decoded_cache = read_json(body, "its body")
        return message._decoded_cache
    try:
        return message.payload
    except Exception as error:
        raise NotAMessage(f"its body cannot be read: {type(error).__name__}") from error


def _check_fields(fields: dict[str, Any]) -> None:
    get = fields.get
    for name in ("task", "id"):
        value = get(name)
        if type(value) is not str or not value or not value.isprintable():
            raise NotAMessage(f"its {name} is no name")
    for name in _NAMES:
        if (value := get(name)) is not None and (type(value) is not str or not value.isprintable()):
            raise NotAMessage(f"its {name} is no name")
    for name in _TEXTS:
        if (value := get(name)) is not None and type(value) is not str:
            raise NotAMessage(f"its {name} is no text")
    for name in _COUNTS:
        if (value := get(name)) is not None and (type(value) is not int or not 0 <= value < _MOST):
            raise NotAMessage(f"its {name} is no count")
    for name in _OBJECTS:
        if (value := get(name)) is not None and type(value) is not dict:
            raise NotAMessage(f"its {name} are no object")
    for name in _FLAGS:
        if (value := get(name)) is not None and type(value) is not bool:
            raise NotAMessage(f"its {name} is neither true nor false")
    if (stamped := get("stamped_headers")) is not None:
        _check_stamped(stamped)
    if (limits := get("timelimit")) is not None:
        _check_limits(limits)
    if get("eta") is not None or get("expires") is not None:
        _check_times(get("eta"), get("expires"))
    _check_names(fields)
    if HEADER in fields:
        # Also null: to a child a message is managed when it has the header.
        if (fault := header_fault(fields[HEADER], fields["id"])) is not None:
            raise NotAMessage(f"its header {HEADER} {fault}")
        if get("eta") is not None or get("expires") is not None:
            # The control plane sends a task when it is due.
            raise NotAMessage(f"its header {HEADER} comes with a time to wait for")


def _check_names(fields: dict[str, Any]) -> None:
    if not _RESERVED.isdisjoint(fields):
        raise NotAMessage("one of its headers has a name that Celery's request needs itself")


def _check_stamped(names: Any) -> None:
    if type(names) is not list or not all(type(name) is str for name in names):
        raise NotAMessage("its stamped_headers are no list of names")


def _check_limits(limits: Any) -> None:
    if type(limits) is not list or len(limits) != 2:
        raise NotAMessage("its timelimit is no pair of seconds")
    for seconds in limits:
        if seconds is None:
            continue
        if type(seconds) not in (int, float) or not 0 <= seconds <= LONGEST_LIMIT_SECONDS:
            raise NotAMessage("its timelimit is no pair of seconds")


def _check_times(eta: str | None, expires: str | None) -> None:
    now = time.time()
    for name, text in (("eta", eta), ("expires", expires)):
        if text is None:
            continue
        try:
            at = maybe_iso8601(text)
            seconds = -1.0 if at is None else maybe_make_aware(at).timestamp()
        except (ValueError, TypeError, OverflowError) as error:
            raise NotAMessage(f"its {name} is no time") from error
        if seconds < 0:
            raise NotAMessage(f"its {name} is no time")
        if name == "eta" and seconds - now > LATEST_START_SECONDS:
            raise NotAMessage("its eta lies more than a year ahead")


def _check_call(args: Any, kwargs: Any, embed: Any) -> None:
    if type(args) is not list or type(kwargs) is not dict:
        raise NotAMessage("its arguments are no list, or its keyword arguments no object")
    if embed is None:
        return
    if type(embed) is not dict:
        raise NotAMessage("its callbacks are no object")
    for name in ("callbacks", "errbacks", "chain"):
        if (signatures := embed.get(name)) is not None and not _are_signatures(signatures):
            raise NotAMessage(f"its {name} are no list of tasks")
    if (chord := embed.get("chord")) is not None and not _is_signature(chord):
        raise NotAMessage("its chord is no task")


def _are_signatures(value: Any) -> bool:
    return type(value) is list and all(map(_is_signature, value))


def _is_signature(value: Any) -> bool:
    return isinstance(value, dict) and type(value.get("task")) is str
