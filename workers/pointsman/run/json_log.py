"""What a node logs as the service does with ``log_json``: one JSON object a line, with the task that the line is about.

``event``, ``level``, ``logger`` and ``timestamp`` as there, ``exception`` with a traceback, and where it is known
``task_id``, ``task_type``, ``queue``, ``attempt`` and, where tracing is on, ``trace_id``: also in what Celery logs, and
what a body prints.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from celery._state import get_current_task

from pointsman.run.managed_run import MANAGED_RUN
from pointsman.run.running import carried_run

FIELDS = ("task_id", "task_type", "queue", "attempt", "trace_id")
_PLACEHOLDER = re.compile(r"%(?:%|[#0 +-]*\d*(?:\.\d+)?[a-zA-Z])")
_NAMED_TASK = "%s[%s]"
"""How Celery, and this library, name a task in a line: its type and its id."""


class JsonLine(logging.Formatter):
    """Every record is one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The JSON object."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat()
        line: dict[str, Any] = {
            "event": message_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": moment.replace("+00:00", "Z"),
        }
        known = of_current_task() | of_record(record)
        line |= {field: known[field] for field in FIELDS if known.get(field) not in (None, "")}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=str)


def of_record(record: logging.LogRecord) -> dict[str, Any]:
    """The task that a line names: in its ``extra``, as Celery's lines do, or as ``type[id]`` in its text."""
    named = {field: record.__dict__[field] for field in FIELDS if field in record.__dict__}
    if isinstance(record.args, Mapping) and {"id", "name"} <= record.args.keys():
        return {"task_id": record.args["id"], "task_type": record.args["name"]} | named
    return dict(_in_text(record)) | named


def of_current_task() -> dict[str, Any]:
    """The task whose run this code belongs to, in a thread that carries it, too; empty outside of any."""
    task: Any = get_current_task()
    request: Any = None if task is None else task.request_stack.top
    if request is None:
        carried = carried_run()
        request = None if carried is None else carried.request
    if request is None or request.id is None:
        return {}
    run = request.__dict__.get(MANAGED_RUN)
    if run is not None:
        named = {"task_id": run.id, "task_type": run.task.name, "queue": run.queue, "attempt": run.claim.attempt}
        return {**named, **run.trace_fields()}
    return {
        "task_id": request.id,
        "task_type": request.task or getattr(task, "name", None),
        "queue": (request.delivery_info or {}).get("routing_key"),
        "attempt": (request.retries or 0) + 1,
    }


def message_of(record: logging.LogRecord) -> str:
    """The text of a record, also when its arguments do not fit it."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        # Arguments that do not fit their text: what there is says more than nothing.
        return f"{record.msg} {record.args!r}"


def _in_text(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    text, values = str(record.msg), record.args
    at = text.find(_NAMED_TASK)
    if at < 0 or not isinstance(values, tuple):
        return
    before = sum(found[0] != "%%" for found in _PLACEHOLDER.finditer(text[:at]))
    if len(values) >= before + 2:
        yield from zip(("task_type", "task_id"), values[before : before + 2], strict=True)
    if text.startswith(f"{_NAMED_TASK} attempt %d", at) and len(values) >= before + 3:
        yield "attempt", values[before + 2]
