"""Celery workers of Pointsman: ``celery -A pointsman worker``.

For task authors::

    from pointsman import PermanentError, task

    @task(queue="email")
    def send_greeting(to: str) -> dict[str, str]:
        ...

``task`` is Celery's own decorator and takes Celery's own options. Modules with tasks are named by
``POINTSMAN_TASK_MODULES``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointsman.app import app as celery
    from pointsman.base import ManagedTask
    from pointsman.bases import CriticalTask, EmailTask, ExternalAPITask, MaintenanceTask, ReportTask
    from pointsman.errors import BreakerOpen, PermanentError, RefusedByDependency, TaskCancelled
    from pointsman.run.writing import run_log_handler

    task = celery.task

__all__ = [
    "BreakerOpen",
    "CriticalTask",
    "EmailTask",
    "ExternalAPITask",
    "MaintenanceTask",
    "ManagedTask",
    "PermanentError",
    "RefusedByDependency",
    "ReportTask",
    "TaskCancelled",
    "celery",
    "run_log_handler",
    "task",
]

_HOMES = {
    "ManagedTask": "pointsman.base",
    "run_log_handler": "pointsman.run.writing",
    **dict.fromkeys(("BreakerOpen", "PermanentError", "RefusedByDependency", "TaskCancelled"), "pointsman.errors"),
    **dict.fromkeys(
        ("CriticalTask", "EmailTask", "ExternalAPITask", "MaintenanceTask", "ReportTask"), "pointsman.bases"
    ),
}


def __getattr__(name: str) -> Any:
    """Each name when it is first asked for: ``python -m pointsman`` looks at processes and loads no Celery.

    Whichever is asked for, the application is loaded and is Celery's current one from then on.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    application = importlib.import_module("pointsman.app").app
    found = {"celery": application, "task": application.task}.get(name)
    if found is None:
        found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found
