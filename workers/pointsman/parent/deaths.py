"""Celery's handlers of an attempt that ended with its process, called in the parent.

Celery calls every such death the end of the task. Here another attempt may follow, and then it is a retry.
"""

from typing import Any

from billiard.einfo import ExceptionInfo
from celery import signals, states
from celery.app.trace import task_has_custom
from celery.exceptions import Retry, TimeLimitExceeded


def report_death(task: Any, context: Any, error: Exception, *, is_followed: bool) -> None:
    """Call what a task and its application have for a retry, or for a failure. Raises what a handler raises."""
    try:
        raise error
    except Exception:
        info = ExceptionInfo()
    task.request_stack.push(context)
    try:
        if is_followed:
            task.on_retry(error, context.id, context.args, context.kwargs, info)
            signals.task_retry.send(sender=task, request=context, reason=Retry(exc=error), einfo=info)
            return
        # Celery's own worker calls no method of the task when its process was lost.
        if isinstance(error, TimeLimitExceeded):
            task.on_failure(error, context.id, context.args, context.kwargs, info)
            if task_has_custom(task, "after_return"):
                task.after_return(states.FAILURE, error, context.id, context.args, context.kwargs, None)
        signals.task_failure.send(
            sender=task,
            task_id=context.id,
            exception=error,
            args=context.args,
            kwargs=context.kwargs,
            traceback=error.__traceback__,
            einfo=info,
        )
    finally:
        task.request_stack.pop()
