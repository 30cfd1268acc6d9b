"""Tasks that only plain Celery calls: they run as Celery runs them, and no message of the control plane runs them."""

import os
from functools import partial, wraps
from typing import Any

from celery import Task
from celery.exceptions import NotRegistered
from celery.utils.imports import instantiate

from pointsman.run.forked import stay
from pointsman_contract.message import HEADER


def is_managed(message: Any) -> bool:
    """Whether a message came from the control plane."""
    return isinstance(message.headers, dict) and message.headers.get(HEADER) is not None


def keep_plain(task: Any) -> None:
    """Have this worker treat managed messages of the task as those of a task type it does not know.

    One may still come, from before the task was marked. Nothing stands between it and a body that has no gate.
    """
    if not isinstance(task.Strategy, partial):
        task.Strategy = partial(_plain_strategy, task.Strategy)
        task.run = _in_one_process(task)
    if task.Request == Task.Request:
        # Its priorities mean what those of other tasks mean.
        task.Request = "pointsman.parent.request:PointsmanRequest"


def _in_one_process(task: Any) -> Any:
    body = task.run

    @wraps(body)
    def run(*args: Any, **kwargs: Any) -> Any:
        process, task_id = os.getpid(), str(task.request.id)
        try:
            result = body(*args, **kwargs)
        except BaseException as error:
            stay(process, task.name, task_id, error)
            raise
        stay(process, task.name, task_id)
        return result

    return run


def _plain_strategy(strategy: Any, task: Any, app: Any, consumer: Any, **options: Any) -> Any:
    handle = instantiate(strategy, task, app, consumer, **options)

    def on_message(message: Any, body: Any, *args: Any, **named: Any) -> None:
        if is_managed(message):
            consumer.on_unknown_task(body, message, NotRegistered(task.name))
        else:
            handle(message, body, *args, **named)

    return on_message
