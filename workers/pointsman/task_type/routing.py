"""Priorities as people mean them: 10 is the most urgent, also in ``apply_async(priority=10)``.

On Redis, Celery's own priority is the *step* of the list, 0 fetched first. It is turned into a step here, in the last
moment before a message is built, and back in ``parent.request``, in the first moment a worker holds the message. So
whatever Celery passes on in between (retries, chains, chords, replaced tasks) is a priority and never a step.
"""

from collections.abc import Mapping
from typing import Any

from celery.app.amqp import AMQP
from celery.app.routes import Router
from kombu import Connection

from pointsman.settings import settings
from pointsman.transport import of_celery
from pointsman_contract.queues import MAX_PRIORITY, STEPS, step_of


def priority_of(step: int) -> int:
    """The priority of a step: ``step_of(priority_of(step)) == step`` for every step."""
    return MAX_PRIORITY - min(max(step, STEPS[0]), STEPS[-1])


def with_route(task_type: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """A task's own options as its configured route overrides them.

    Celery would let the queue that a task class names win over ``task_routes``. In the control plane the route wins
    over the class, and only a caller's explicit queue over the route: so must a plain ``delay()``.
    """
    found = settings().task_routes.find(task_type)
    return options if found is None else {**options, **found[1].model_dump(exclude_none=True)}


class PriorityRouter(Router):
    """Celery's router that ends by choosing the step: the message's priority, else its queue's own."""

    def route(self, options: Any, name: Any, args: Any = (), kwargs: Any = None, task_type: Any = None) -> Any:
        """Raises ``ValueError`` for a priority outside 0..10."""
        routed = super().route(options, name, args, kwargs, task_type)
        priority = routed.get("priority")
        if priority is None:
            queue = routed.get("queue")
            known = settings().topology.queue(getattr(queue, "name", ""))
            if known is None:
                return routed
            priority = known.priority
        elif not isinstance(priority, int) or not 0 <= priority <= MAX_PRIORITY:
            raise ValueError(f"priority must be a whole number from 0 to {MAX_PRIORITY}, not {priority!r}")
        routed["priority"] = step_of(priority)
        return routed


class NamedConnection(Connection):
    """Celery's connection, which tells its broker by the scheme that everybody knows."""

    def as_uri(self, *args: Any, **options: Any) -> str:
        """The broker's URL, without its password unless ``include_password`` is set."""
        return of_celery(super().as_uri(*args, **options))


class PriorityAMQP(AMQP):
    """Celery's message builder with our router."""

    Connection = NamedConnection

    def Router(self, queues: Any = None, create_missing: Any = None) -> PriorityRouter:  # noqa: N802 - Celery's name
        """The router of this application."""
        return PriorityRouter(
            self.routes,
            queues or self.queues,
            self.app.either("task_create_missing_queues", create_missing),
            app=self.app,
        )
