"""The Celery application: ordinary Celery, configured for the queues and priorities of the contract."""

from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from contract.queues import STEPS
from workers.routing import PriorityAMQP
from workers.settings import settings

SHIPPED_TASKS = ("workers.tasks.diagnostics", "workers.tasks.http")


class PointsmanCelery(Celery):
    """Celery whose ``queue`` and ``priority`` task options do not warn and mean what the contract says."""

    amqp_cls: Any = PriorityAMQP

    def _task_from_fun(  # type: ignore[override]  # celery-types names every option; we pass them on
        self, fun: Any, name: str | None = None, base: Any = None, bind: bool = False, **options: Any
    ) -> Any:
        # Celery deprecates both as class attributes at binding; set afterwards they work as documented.
        placement = {option: options.pop(option) for option in ("queue", "priority") if option in options}
        task = super()._task_from_fun(fun, name, base, bind, **options)
        for option, value in placement.items():
            setattr(type(task), option, value)
        return task


def configuration() -> dict[str, Any]:
    """Celery's settings. Raises ``SystemExit`` when no broker is known."""
    ours = settings()
    url = ours.require_redis_url()
    return {
        "broker_url": url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "priority_steps": list(STEPS),
            "queue_order_strategy": "priority",
            "visibility_timeout": ours.visibility_timeout_seconds,
            "socket_connect_timeout": ours.redis_connect_seconds,
            "socket_keepalive": True,
        },
        "result_backend": url,
        "result_expires": ours.result_expires_seconds,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_queues": [
            Queue(queue.name, Exchange(queue.name), routing_key=queue.name) for queue in ours.topology.queues
        ],
        "task_default_queue": ours.topology.fallback,
        "task_create_missing_queues": False,
        "task_time_limit": ours.time_limit_seconds,
        "task_soft_time_limit": ours.soft_time_limit_seconds,
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "task_inherit_parent_priority": False,
        "task_track_started": False,
        "worker_consumer": "workers.steps:PointsmanConsumer",
        "worker_prefetch_multiplier": ours.prefetch_multiplier,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "worker_proc_alive_timeout": 30.0,
        "include": [*SHIPPED_TASKS, *ours.modules()],
    }


app = PointsmanCelery("workers", task_cls="workers.base:ManagedTask", set_as_current=True)
app.add_defaults(configuration)
# By name: a process that only sends tasks does not load the worker.
app.steps["worker"].add("workers.steps:NodeStep")
app.steps["consumer"].add("workers.steps:Consuming")
