"""How the parent treats one message.

Managed ones are acknowledged after their outcome is reported, native ones as their task says.
"""

import logging
from functools import cache
from typing import Any

from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.exceptions import InvalidTaskError, TaskPredicate
from celery.worker.request import Request
from celery.worker.state import task_ready
from redis.exceptions import OutOfMemoryError

from pointsman.errors import NotClaimed, WorkerError
from pointsman.node.keeper import Note
from pointsman.node.node import current_node
from pointsman.node.voice import revoked
from pointsman.parent.deaths import report_death
from pointsman.task_type.retrying import AttemptRetries, rules_of
from pointsman.task_type.routing import priority_of
from pointsman.task_type.time_limits import limits_of
from pointsman_contract.clean_text import clean
from pointsman_contract.event_text import body_text
from pointsman_contract.events import EventKind, UnclaimedBody
from pointsman_contract.message import HEADER, ManagedHeader, UnsupportedMessage, managed_header

logger = logging.getLogger(__name__)


class UnsupportedManagedMessage(InvalidTaskError, WorkerError):
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
    _is_accounted: bool = False
    """Whether it is known what became of a managed message: its child reported it, or its parent has."""
    _is_revoked: bool = False
    _is_dead: bool = False
    _hostname: str
    _context: Any
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
            self._is_accounted = self._is_accounted or not outcome[0]
            celery_on_success(self, outcome, **kwargs)
            if self.managed and not outcome[0]:
                self.acknowledge()

        setattr(cls, "on_success", on_success)  # noqa: B010 - mypy refuses the plain assignment

    def __init__(self, message: Any, **options: Any) -> None:
        try:
            super().__init__(message, **options)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            # ``task_message`` lets none of these through; should it ever, Celery would take it for a fault of its own
            # and end the node; the next node is next.
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

    def acknowledge(self) -> None:
        """The message is done with. Of one that nobody claimed this is said first."""
        self._account("the worker let go of its message before it came to a process")
        super().acknowledge()
        if self.managed:
            current_node().belief.acknowledged(self.id, self._header["dispatch"])

    def reject(self, requeue: bool = False) -> None:
        """Celery's; a message that does not go back to its queue is done with."""
        if not requeue:
            self._account("the worker rejected its message")
        super().reject(requeue)

    def revoked(self) -> bool:
        """Celery's; what other nodes and whoever speaks like one say of a managed task is believed of nobody where
        messages have to be signed.
        """
        if self.managed and current_node().settings.trust.requires:
            return False
        return bool(super().revoked())

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Celery's; of a managed task it is a request to cancel it."""
        if self.managed:
            self._revoke(f"celery control terminate on {self._hostname}", kill=True)
        super().terminate(pool, signal)

    def on_timeout(self, soft: bool, timeout: Any) -> None:
        """Celery's; a managed attempt past its hard limit has failed for good only when no other follows."""
        if soft or not self.managed:
            super().on_timeout(soft, timeout)
            return
        logger.error("Hard time limit (%ss) exceeded for %s[%s]", timeout, self.name, self.id, extra=self._named)
        self._end_with_child(TimeLimitExceeded(timeout))

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """Celery's, which takes every death of a process for the end of a task."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if not self.managed:
            super().on_failure(exc_info, send_failed_event, return_ok)
        elif isinstance(error, (WorkerLostError, TimeLimitExceeded)):
            logger.error("Task handler raised error: %r", error, extra=self._named)
            self._end_with_child(error)
        elif isinstance(error, (SystemExit, KeyboardInterrupt)) and self._is_followed(WorkerLostError):
            # The process has reported its attempt, and ended afterwards.
            self._is_accounted = True
            task_ready(self)
            self.acknowledge()
        else:
            if isinstance(error, NotClaimed):
                self._account(str(error))
            elif not return_ok and not isinstance(error, (Terminated, SystemExit, KeyboardInterrupt, TaskPredicate)):
                logger.error("message of task %s did not reach its process: %r", self.id, error, extra=self._named)
                self._account(f"{type(error).__name__}: {error}"[:500])
                return_ok = True
            self._is_accounted = True
            super().on_failure(exc_info, send_failed_event, return_ok)

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        if self.managed and not expired:
            self._revoke(f"celery control revoke on {self._hostname}", kill=terminated)
        super()._announce_revoked(reason, terminated, signum, expired)  # type: ignore[misc]  # not in celery-types

    def _revoke(self, by: str, *, kill: bool) -> None:
        self._is_accounted = True
        if self._is_revoked:
            return
        self._is_revoked = True
        node = current_node()
        note = revoked(self.id, by, kill=kill)
        if note is not None and node.voice is not None:
            # Before anybody is killed: that attempt has then been cancelled, and did not fail.
            node.voice.append(note)
        if kill:
            node.terminated.append((self.id, by))
            for slot in node.slots.taken():
                if slot.run is not None and slot.run.task == self.id:
                    node.slots.cancel(slot.index, slot.run.token)

    def _account(self, reason: str) -> None:
        if not self.managed or self._is_accounted or self.acknowledged:
            return
        self._is_accounted = True
        node = current_node()
        logger.error("task %s was not claimed: %s", self.id, reason, extra=self._named)
        body: UnclaimedBody = {
            "task_type": self._task.name,
            "queue": self._delivery_info.get("routing_key") or "",
            "worker": node.owner,
            "dispatch": self._header.get("dispatch", 0),
            "reason": clean(reason),
        }
        if node.voice is not None:
            node.voice.append(Note(EventKind.UNCLAIMED, self.id, body_text(body)))

    def _end_with_child(self, error: Exception) -> None:
        """The process that ran it is gone, or going; what it ran is reported from its slot."""
        if self._is_dead:
            return
        self._is_dead = self._is_accounted = True
        task_ready(self)
        self.acknowledge()
        try:
            report_death(self._task, self._death_context(), error, is_followed=self._is_followed(type(error)))
        except Exception:
            logger.exception("a handler of task %s raised", self.id, extra=self._named)

    def _is_followed(self, kind: type[BaseException]) -> bool:
        """Whether another attempt follows one that ended with its process."""
        if self._is_revoked:
            return False
        if current_node().slots.stopping and not issubclass(kind, TimeLimitExceeded):
            return True
        rules = rules_of(self._task)
        if issubclass(kind, TimeLimitExceeded) and not rules.follows(TimeLimitExceeded):
            return False
        return not AttemptRetries.of(rules, self._header, self._header.get("after", 0) + 1).is_last

    def _death_context(self) -> Any:
        context = self._context
        context.retries = self._header.get("after", 0) - self._header.get("interruptions", 0)
        return context

    @property
    def _named(self) -> dict[str, Any]:
        """What a line about this message says beside its text."""
        return {"task_id": self.id, "task_type": self.name, "queue": self._delivery_info.get("routing_key")}

    @property
    def _header(self) -> ManagedHeader:
        header: ManagedHeader = self._request_dict[HEADER]
        return header
