"""How a message gets through a worker process: gate, Celery's own tracer, report.

The gate stands outside of everything of Celery's and of the author's: hooks, signals, a ``__call__`` of a base. What
raises there is the outcome of an attempt that was claimed, and a message that must not run meets none of it.
"""

import logging
import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]  # billiard is untyped
from billiard.einfo import ExceptionInfo
from celery.app.task import Context
from celery.app.trace import TraceInfo, trace_ok_t
from celery.exceptions import Ignore, Reject
from celery.states import IGNORED, REJECTED

from pointsman.errors import NotClaimed
from pointsman.run.child import current_child
from pointsman.run.forked import stay
from pointsman.run.managed_run import MANAGED_RUN, ManagedRun
from pointsman_contract.message import HEADER

logger = logging.getLogger(__name__)

Tracer = Callable[..., Any]

_NO_CUSTOM_HEADERS = frozenset({*Context.__dict__, "lang", "task", "argsrepr", "kwargsrepr", "compression", HEADER})
"""What Celery does not put into ``self.request.headers``, and our own header."""
_GUARDS = "_pointsman_guards"


def gated(task: Any, tracer: Tracer) -> Tracer:
    """Celery's tracer of a task, with the gate before it for managed messages."""
    let_rules_retry(task)

    def trace(uuid: str, args: Any, kwargs: Any, request: dict[str, Any] | None = None) -> Any:
        # For a copy that a hook or a signal made; one that a body made has not come so far.
        process = os.getpid()
        try:
            answer = trace_once(uuid, args, kwargs, request)
        except BaseException as error:
            stay(process, task.name, uuid, error)
            raise
        stay(process, task.name, uuid)
        return answer

    def trace_once(uuid: str, args: Any, kwargs: Any, request: dict[str, Any] | None) -> Any:
        if request is None or HEADER not in request:
            return tracer(uuid, args, kwargs, request)
        try:
            run = ManagedRun(task, request, args, kwargs, current_child())
        except Exception as error:
            return not_claimed(uuid, error, {"task_id": uuid, "task_type": task.name})
        return pass_through(run, tracer)

    return trace


def pass_through(run: ManagedRun, tracer: Tracer) -> Any:
    """What Celery's tracer answers for a run that the gate let pass, and an answer of its own kind for another.

    Every run that was claimed is reported when this returns or raises, unless its process is being killed.
    """
    try:
        try:
            run.enter()
        except Ignore as refusal:
            logger.info("task %s does not run: %s", run.id, refusal, extra=run.log_fields())
            return _answer(IGNORED, refusal)
        except Reject as refusal:
            return _answer(REJECTED, refusal)
        except Exception as error:
            return not_claimed(run.id, error, run.log_fields())
        try:
            answer = tracer(run.id, run.args, run.kwargs, _request(run))
        except (SystemExit, KeyboardInterrupt) as error:
            if not terminate_handler_fired():
                run.fail(error)
            raise
        except BaseException as error:
            # A MemoryError would end the parent, a Reject would send the message round, and what is no Exception, such
            # as a CancelledError, would look to the parent as if the message had not come to the gate.
            if run.is_reported:
                logger.exception("what follows the outcome of task %s raised", run.id, extra=run.log_fields())
            run.fail(error)
            return _answer(IGNORED, Ignore(f"{type(error).__name__} around the body"))
        if not run.is_reported:
            # Celery met a fault of its own, or a hook's, before it came to the body.
            run.fail(_found(answer))
        return answer
    finally:
        run.child.in_body = True


def not_claimed(task_id: str, error: Exception, fields: dict[str, Any]) -> Any:
    """The answer for a message that this process could not even take to the gate: its parent reports it."""
    logger.error("task %s does not run here: %s: %s", task_id, type(error).__name__, error, extra=fields)
    return _answer(IGNORED, NotClaimed(f"{type(error).__name__}: {error}"[:500]))


def guard(cls: Any) -> None:
    """Make what stands around the body of a task class part of its managed attempts: ``__call__``, ``before_start``.

    The class is the one that Celery made for one task, so that its bases stay as their authors wrote them.
    """
    if _GUARDS in cls.__dict__:
        return
    around, before = cls.__call__, cls.before_start

    @wraps(around)
    def guarded_call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        run = _not_begun(self)
        if run is not None:
            return run.carry_out(around, before, args, kwargs)
        request = self.request_stack.top
        if request is None or request.called_directly:
            return around(self, *args, **kwargs)
        process = os.getpid()
        try:
            result = around(self, *args, **kwargs)
        except BaseException as error:
            stay(process, self.name, request.id, error)
            raise
        stay(process, self.name, request.id)
        return result

    @wraps(before)
    def guarded_before_start(self: Any, task_id: str, args: Any, kwargs: Any) -> None:
        # A managed attempt calls it itself, where what it raises is the attempt's.
        if _not_begun(self) is None:
            before(self, task_id, args, kwargs)

    cls.__call__, cls.before_start = guarded_call, guarded_before_start
    setattr(cls, _GUARDS, True)


def _not_begun(task: Any) -> ManagedRun | None:
    request = task.request_stack.top
    run: ManagedRun | None = None if request is None else request.__dict__.get(MANAGED_RUN)
    return None if run is None or run.has_begun else run


def _request(run: ManagedRun) -> dict[str, Any]:
    """What Celery makes ``self.request`` of: the run is there from the first hook on."""
    message = run.request
    custom = {name: message[name] for name in message.keys() - _NO_CUSTOM_HEADERS}
    return {**message, "headers": custom, "retries": run.retries.attempt - 1, MANAGED_RUN: run}


def _answer(state: str, refusal: Exception) -> Any:
    """What Celery's tracer answers when ``refusal`` was raised in a body."""
    try:
        raise refusal
    except Exception:
        return trace_ok_t(ExceptionInfo(internal=True), TraceInfo(state, refusal), 0.0, None)


def _found(answer: Any) -> BaseException:
    error = None if answer.info is None else answer.info.retval
    return error if isinstance(error, BaseException) else RuntimeError("Celery did not come to the body")


def let_rules_retry(task: Any) -> None:
    """Celery's own wrapper for ``autoretry_for`` is for plain runs: of a managed one its retry rules decide."""
    retrying = task.__dict__.get("run")
    if retrying is None or not hasattr(task, "_orig_run") or hasattr(retrying, _GUARDS):
        return

    @wraps(retrying)
    def run(*args: Any, **kwargs: Any) -> Any:
        return (task._orig_run if task._managed_run is not None else retrying)(*args, **kwargs)

    setattr(run, _GUARDS, True)
    task.run = run
