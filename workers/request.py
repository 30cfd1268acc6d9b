"""How the parent treats one message.

Managed ones are acknowledged after their outcome is reported, native ones as their task says.
"""

from functools import cache
from typing import Any

from celery.exceptions import InvalidTaskError
from celery.worker.request import Request
from redis.exceptions import OutOfMemoryError

from contract.message import UnsupportedMessage, managed_header
from workers.routing import priority_of
from workers.time_limits import limits_of


class UnsupportedManagedMessage(InvalidTaskError):
    """A managed message of a version that this worker does not know."""


@cache
def acknowledged_late(task: Any) -> Any:
    """The task as managed messages see it: acknowledged once, after the run, whatever became of it.

    A killed child's message is acknowledged too: the parent reports the attempt from its slot, and a message that came
    back at once could kill child after child.
    """
    late = type(
        type(task).__name__,
        (type(task),),
        {
            "acks_late": True,
            "acks_on_failure": True,
            "acks_on_timeout": True,
            "reject_on_worker_lost": False,
            "retry_on_worker_lost": False,
            "__module__": type(task).__module__,
        },
    )
    view: Any = object.__new__(late)
    view.__dict__.update(task.__dict__)
    return view


class PointsmanRequest(Request):
    """Celery's request with the acknowledgement and the priority scale of the contract."""

    managed = False
    time_limits: tuple[float | None, float | None]
    _request_dict: dict[str, Any]
    _delivery_info: dict[str, Any]
    _task: Any
    _connection_errors: tuple[type[BaseException], ...]

    def __init_subclass__(cls, **options: Any) -> None:
        # ``create_request_cls`` derives a class whose on_success asks the task for acks_late and never calls super.
        super().__init_subclass__(**options)
        if "on_success" not in cls.__dict__:
            return
        celery_on_success = cls.on_success

        def on_success(self: "PointsmanRequest", outcome: Any, **kwargs: Any) -> None:
            celery_on_success(self, outcome, **kwargs)
            if self.managed and not outcome[0]:
                self.acknowledge()

        setattr(cls, "on_success", on_success)  # noqa: B010 - mypy refuses the plain assignment

    def __init__(self, message: Any, **options: Any) -> None:
        try:
            super().__init__(message, **options)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            # ``workers.task_message`` lets none of these through; should it ever, Celery would take it for a fault of
            # its own and end the node; the next node is next.
            raise InvalidTaskError(f"the body is not a task's: {type(error).__name__}: {error}") from error
        # kombu 5.7 takes a lost connection's transport apart; an acknowledgement on it would end the worker.
        # One that a full Redis refuses would, too.
        self._connection_errors = (*self._connection_errors, AttributeError, OutOfMemoryError)
        try:
            self.managed = managed_header(self._request_dict) is not None
        except UnsupportedMessage as error:
            raise UnsupportedManagedMessage(str(error)) from error
        if self.managed:
            # Celery would keep the soft limit of the task type, which a hard limit below it never reaches.
            self.time_limits = limits_of(self._task, self.time_limits)
            self._request_dict["timelimit"] = self.time_limits
        step = self._delivery_info["priority"]
        if step is not None:
            self._delivery_info["priority"] = priority_of(int(step))

    @property
    def task(self) -> Any:
        """The task, or its late view for a managed message."""
        return acknowledged_late(self._task) if self.managed else self._task
