"""Plain Celery tasks are recorded, and nothing more: recording never fails or slows them."""

import logging
import time
from typing import Any

from celery import signals

from pointsman.node.keeper import Note
from pointsman.run.child import current_child
from pointsman.run.report import describe
from pointsman.run.running import carried_run, carry, put_down
from pointsman.run.sealed import sealed_error
from pointsman_contract.clean_text import clean
from pointsman_contract.event_text import body_text
from pointsman_contract.events import EventKind, NativeBody
from pointsman_contract.message import HEADER

logger = logging.getLogger(__name__)

_STARTED = "_pointsman_started"
_CARRYING = "_pointsman_carrying"
_BUILTIN = "celery."


def watch() -> None:
    """Record the native tasks of this process from now on."""
    signals.task_prerun.connect(_begin)
    signals.task_postrun.connect(_end)


def _begin(task: Any = None, **_: Any) -> None:
    request = task.request_stack.top
    if request is None or HEADER in request.__dict__:
        return
    setattr(request, _STARTED, time.monotonic())
    if carried_run() is None or not request.is_eager:
        setattr(request, _CARRYING, carry(None, request))
    try:
        # Its handler of the soft time limit knows how to tell an async body.
        current_child()
    except Exception:
        logger.exception("a native run of %s will not be recorded", task.name)


def _end(task: Any = None, retval: Any = None, state: str | None = None, **_: Any) -> None:
    request = task.request_stack.top
    carrying = None if request is None else request.__dict__.pop(_CARRYING, None)
    if carrying is not None:
        put_down(carrying)
    started = getattr(request, _STARTED, None)
    if started is None or request.is_eager or task.name.startswith(_BUILTIN):
        return
    try:
        child = current_child()
        body: NativeBody = {
            "task_type": task.name,
            "queue": (request.delivery_info or {}).get("routing_key") or "",
            "worker": child.owner,
            "state": state or "FAILURE",
            "run_seconds": round(time.monotonic() - started, 6),
        }
        if isinstance(retval, BaseException) and state == "FAILURE":
            error, task = describe(retval), clean(str(request.id))
            body["error"] = error if child.sealing is None else sealed_error(error, task, child.sealing)
        child.keeper.note(Note(EventKind.NATIVE, clean(str(request.id)), body_text(body)))
    except Exception:
        logger.exception("a native run of %s was not recorded", task.name)
