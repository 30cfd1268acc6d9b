"""Celery workers of Pointsman: ``celery -A workers worker``.

For task authors::

    from workers import PermanentError, task

    @task(queue="email")
    def send_greeting(to: str) -> dict[str, str]:
        ...

``task`` is Celery's own decorator and takes Celery's own options. Modules with tasks are named by
``POINTSMAN_TASK_MODULES``.
"""

from workers.app import app as celery
from workers.base import ManagedTask
from workers.bases import CriticalTask, EmailTask, ExternalAPITask, MaintenanceTask, ReportTask
from workers.errors import PermanentError, TaskCancelled

__all__ = [
    "CriticalTask",
    "EmailTask",
    "ExternalAPITask",
    "MaintenanceTask",
    "ManagedTask",
    "PermanentError",
    "ReportTask",
    "TaskCancelled",
    "celery",
    "task",
]

task = celery.task
