"""Calls of Celery as durable submissions: ``delay()`` and ``apply_async()`` go to Pointsman instead of to a broker.

One line of an application does it::

    from pointsman_client.celery import Celery  # was: from celery import Celery

Its tasks then are stored before ``delay()`` returns, and run on Pointsman's workers. ``pointsman_durable`` of its
configuration takes that back, for all of them (False), or but for some (a list of names, with ``*``); ``durable`` of a
task says it for one. What composes tasks (chains, groups, chords) goes on as Celery does it. So does everything when
tasks are always eager.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any, cast

import celery
from celery import current_app, exceptions, states
from kombu.utils import json as kombu_json

from pointsman_client.calling.call import encode
from pointsman_client.errors import ClientError, TaskStillRunning
from pointsman_client.models import Task
from pointsman_client.sync.client import Client
from pointsman_client.sync.handle import Handle

_STATES = {
    "running": states.STARTED,
    "retrying": states.RETRY,
    "succeeded": states.SUCCESS,
    "failed": states.FAILURE,
    "cancelled": states.REVOKED,
    "expired": states.REVOKED,
}
"""Those of a task in Celery's words; the others are ``PENDING``."""
_COMPOSED = frozenset({"chain", "chord", "group_id", "group_index", "parent_id", "reply_to", "root_id"})
"""Options of a call that is a part of something composed, or of a retry: Celery's own affair."""
_HONOURED = frozenset({"countdown", "eta", "expires", "priority", "queue", "task_id", "time_limit"})
_OF_THE_BROKER = frozenset(
    {
        "add_to_parent", "compression", "connection", "delivery_mode", "exchange", "headers", "ignore_result",
        "immediate", "mandatory", "producer", "properties", "publisher", "result_cls", "retry", "retry_policy",
        "routing_key", "serializer", "shadow", "stamped_headers",
    }
)  # fmt: skip
"""Options that mean nothing without a broker."""


class NotDurable(ClientError):
    """The call asks for something that no submission can honour. Nothing was sent."""


class _DurableCalls:
    """``apply_async`` of a task that may be durable."""

    durable: bool = True
    """False: this task is sent as Celery sends it."""

    def apply_async(
        self: Any,
        args: Any = None,
        kwargs: Any = None,
        task_id: str | None = None,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> Any:
        """Celery's, as a submission; a ``task_id`` is its key, so that the same call twice is one task. Raises
        ``NotDurable`` for options that cannot be honoured, by their names, and what ``Client`` raises.
        """
        if not is_durable(self) or options.get("retries") or options.keys() & _COMPOSED:
            return super().apply_async(  # type: ignore[misc]  # of the class beside this one
                args, kwargs, task_id, producer, link, link_error, shadow, **options
            )
        asked = {name for name, value in (("link", link), ("link_error", link_error)) if value}
        asked |= {name for name, value in options.items() if value is not None} - _HONOURED - _OF_THE_BROKER
        if asked:
            raise NotDurable(
                f"{self.name} is durable, and {', '.join(sorted(asked))} cannot be honoured then: let the task submit"
                " what follows, or say durable=False of it"
            )
        if self.typing and (check := getattr(self, "__header__", None)) is not None:
            check(*(args or ()), **(kwargs or {}))
        return DurableResult(_submitted(self, args or (), kwargs or {}, task_id, options), self.name)

    def delay_on_commit(self: Any, *args: Any, **kwargs: Any) -> None:
        """``delay()`` when the transaction of Django has committed."""
        _on_commit(lambda: self.delay(*args, **kwargs))

    def apply_async_on_commit(self: Any, *args: Any, **kwargs: Any) -> None:
        """``apply_async()``, likewise."""
        _on_commit(lambda: self.apply_async(*args, **kwargs))


class DurableTask(_DurableCalls, celery.Task):  # type: ignore[type-arg]  # generic in the stubs only
    """A task whose calls are durable submissions: the base of one, or the ``task_cls`` of an application."""

    abstract = True


class Celery(celery.Celery):
    """Celery's, with tasks whose calls are durable submissions.

    A worker of Pointsman that loads the module of the application gets Pointsman's own in its place, so the tasks are
    Pointsman's there. ``pointsman_url`` and ``pointsman_key`` of the configuration say where it is, in place of
    ``POINTSMAN_URL`` and ``POINTSMAN_API_KEY``.
    """

    def __new__(cls, *_: Any, **__: Any) -> Any:
        """Make one, or hand out that of the worker."""
        found = _of_worker()
        if found is None:
            return super().__new__(cls)
        if not issubclass(found.Task, _DurableCalls):
            # What its tasks call is durable, too.
            found.Task = type("DurableManagedTask", (_DurableCalls, found.Task), {"abstract": True})
        return found

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"task_cls": DurableTask, **options})


class DurableResult:
    """What ``delay()`` gives: like Celery's ``AsyncResult``, of a task that Pointsman has."""

    def __init__(self, handle: Handle, name: str | None = None) -> None:
        self.handle = handle
        """The handle of the client."""
        self.id = self.task_id = handle.id
        self.name = name

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<DurableResult: {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DurableResult) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def get(self, timeout: float | None = None, propagate: bool = True, **_: Any) -> Any:
        """What the task returned, when it has ended; without a ``timeout`` it is waited for as long as it takes. A
        failed one raises its exception, ``TaskRevokedError`` says that it was cancelled or has expired. Raises Celery's
        ``TimeoutError``.
        """
        task = self._ended(timeout)
        if task.state == "succeeded" or not propagate:
            return self._result_of(task)
        raise self._result_of(task) from None

    wait = get

    def _ended(self, timeout: float | None) -> Task:
        while True:
            try:
                return self.handle.wait(timeout=3600.0 if timeout is None else timeout)
            except TaskStillRunning as error:
                if timeout is not None:
                    raise exceptions.TimeoutError(str(error)) from None

    @property
    def state(self) -> str:
        """In Celery's words: ``PENDING``, ``STARTED``, ``RETRY``, ``SUCCESS``, ``FAILURE``, ``REVOKED``."""
        return _STATES.get(self._seen().state, states.PENDING)

    status = state

    @property
    def result(self) -> Any:
        """What it returned, or its exception; None before it has ended."""
        task = self._seen()
        return self._result_of(task) if _STATES.get(task.state) in states.READY_STATES else None

    info = result

    @property
    def traceback(self) -> str | None:
        """Of the attempt that failed."""
        error = self._seen().error
        return None if error is None else error.traceback

    def ready(self) -> bool:
        """Whether it has ended."""
        return self.state in states.READY_STATES

    def successful(self) -> bool:
        """Whether it has succeeded."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Whether it has failed."""
        return self.state == states.FAILURE

    def revoke(self, *_: Any, terminate: bool = False, **__: Any) -> None:
        """Ask for its end; with ``terminate`` for that of an attempt that runs, too."""
        self.handle.cancel(end_running=terminate or None)

    def forget(self) -> None:
        """Celery's. Pointsman keeps results as long as it keeps tasks."""

    def _seen(self) -> Task:
        task = self.handle.task
        if task is None or _STATES.get(task.state) not in states.READY_STATES:
            task = self.handle.refresh()
        return task

    def _result_of(self, task: Task) -> Any:
        if task.state == "succeeded":
            return task.result
        if task.state == "failed" and task.error is not None:
            return exception_of(task.error.type, task.error.message)
        return exceptions.TaskRevokedError(f"{task.task_type} {task.id} is {task.state}")


def _on_commit(then: Callable[[], Any]) -> None:
    import_module("django.db").transaction.on_commit(then)


def is_durable(task: Any) -> bool:
    """Whether calls of the task are submissions."""
    conf = task.app.conf
    if conf.task_always_eager or not task.durable or not getattr(task, "managed", True):
        return False
    said = conf.get("pointsman_durable", True)
    if isinstance(said, Iterable) and not isinstance(said, str):
        return any(fnmatchcase(task.name, pattern) for pattern in said)
    return str(said).lower() not in ("false", "0", "no", "off", "none")


def exception_of(kind: str, message: str) -> BaseException:
    """The exception that a task ended with: of its class where this process has it loaded, else one of that name."""
    module, _, name = kind.rpartition(".")
    found = getattr(sys.modules.get(module or "builtins"), name, None)
    if isinstance(found, type) and issubclass(found, Exception):
        try:
            return cast(BaseException, found(message))
        except TypeError:
            pass
    made: type[Exception] = type(name, (Exception,), {"__module__": module or "pointsman_client.celery"})
    return made(message)


_clients: dict[tuple[int, str | None, str | None], Client] = {}
_making = threading.Lock()


def client_of(app: Any) -> Client:
    """The client of an application, one for each process."""
    url = app.conf.get("pointsman_url") or os.environ.get("POINTSMAN_URL") or os.environ.get("POINTSMAN_API_URL")
    of = (os.getpid(), url, app.conf.get("pointsman_key"))
    with _making:
        if of not in _clients:
            # A child of a fork has no use for the connections of its parent, and must not close them either.
            _clients[of] = Client(url, of[2])
        return _clients[of]


def _submitted(task: Any, args: Any, kwargs: Any, task_id: str | None, options: Mapping[str, Any]) -> Handle:
    now = datetime.now(UTC)
    eta, countdown, expires = options.get("eta"), options.get("countdown"), options.get("expires")
    client = client_of(task.app)
    tasks = client.tasks.with_options(
        idempotency_key=task_id,
        queue=_queue(options.get("queue")),
        priority=options.get("priority"),
        delay_seconds=None if countdown is None or eta is not None else max(0.0, float(countdown)),
        scheduled_at=None if eta is None else _moment(eta, task.app),
        expires_at=now + timedelta(seconds=expires) if isinstance(expires, int | float) else _moment(expires, task.app),
        timeout_seconds=options.get("time_limit"),
    )
    return tasks.submit(task.name, *_plain(args), **_plain(kwargs))


def _queue(queue: Any) -> str | None:
    return None if queue is None else str(getattr(queue, "name", queue))


def _moment(at: Any, app: Any) -> datetime | None:
    """A time of Celery's: without a zone it is of the application's, and text is ISO 8601."""
    if at is None:
        return None
    found = datetime.fromisoformat(at) if isinstance(at, str) else at
    return found if found.tzinfo is not None else found.replace(tzinfo=app.timezone)


def _plain(values: Any) -> Any:
    """As JSON has it; what only Celery's JSON can say (times, UUIDs, decimals) as that says it."""
    try:
        encode(values)
    except (TypeError, ValueError):
        import json

        return json.loads(kombu_json.dumps(values))
    return values


def _of_worker() -> Any:
    """The application of Pointsman's worker that this process is while it loads tasks; None: it is another one."""
    app: Any = current_app
    app = app._get_current_object()
    is_ours = type(app).__module__ == "pointsman.app"
    return app if is_ours and app.loader.worker_initialized else None
