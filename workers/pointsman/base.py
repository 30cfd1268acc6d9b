"""The task class of the application."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from celery import Task
from celery._state import _task_stack  # type: ignore[attr-defined]  # not in celery-types

from pointsman.errors import OnceNotManaged, ReplaceNotManaged, RetryNotManaged, TaskCancelled
from pointsman.run.managed_run import MANAGED_RUN
from pointsman.run.once import MemoryRecords, Step
from pointsman.run.progress import progress_text
from pointsman.run.running import carried_run, current_run, find_by_id, find_managed
from pointsman.run.sides import AttemptOfTask
from pointsman.run.tracing import gated, guard
from pointsman.task_type.coroutines import complete
from pointsman.task_type.dependencies import breaker_of
from pointsman.task_type.django import on_commit
from pointsman.task_type.reading import reading
from pointsman.task_type.routing import with_route
from pointsman_contract.message import HEADER


class ManagedTask(Task):  # type: ignore[type-arg]  # generic in the stubs only
    """Every task of the application.

    A message of the control plane runs *managed*: claimed at the gate, its outcome reported before the message is
    acknowledged. Anything else, a direct call or a plain Celery message, runs exactly as Celery runs it.
    """

    Request = "pointsman.parent.request:PointsmanRequest"
    managed: bool = True
    """False keeps the task from the control plane: it is not published, and runs only when plain Celery calls it."""
    queue: str | None = None
    dependencies: Sequence[str | Callable[[], str | None]] = ()
    """What every task of this type depends on, such as ``smtp``: names, or functions that give one or None."""
    url_argument: str | None = None
    """The argument that holds a URL, whose host is a dependency."""
    fail_fast: bool = False
    """While a circuit breaker would hold a task, it fails at once instead."""
    breaker_ignores: tuple[type[BaseException], ...] = ()
    """Exceptions that are nobody's failure: no circuit breaker counts them."""
    keep_logs: bool = True
    """False: what its managed runs write through ``logging``, and print, is not kept beside their attempts."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """A plain call, or the body of the message this process runs."""
        request: Any = self.request_stack.top
        if request is None or request.called_directly or request._protected:
            # Celery's own takes no argument that is called ``self``.
            _task_stack.push(self)
            self.push_request(args=args, kwargs=kwargs)
            try:
                return self.run(*args, **kwargs)
            finally:
                self.pop_request()
                _task_stack.pop()
        # What Celery's worker does for tasks without __call__: run once per message, without a second request.
        request._protected = 1
        return complete(self.run(*args, **kwargs))

    def delay(self, /, *args: Any, **kwargs: Any) -> Any:
        """Celery's, for arguments of any name."""
        return self.apply_async(args, kwargs)

    def delay_on_commit(self, /, *args: Any, **kwargs: Any) -> None:
        """``delay()`` when the transaction of Django has committed, as tasks of Celery with Django have it."""
        on_commit(partial(self.delay, *args, **kwargs))

    def apply_async_on_commit(self, *args: Any, **kwargs: Any) -> None:
        """``apply_async()``, likewise."""
        on_commit(partial(self.apply_async, *args, **kwargs))

    @classmethod
    def bind(cls, app: Any) -> Any:
        """Celery's, which makes this the class of one task."""
        bound = super().bind(app)
        guard(cls)
        return bound

    @property
    def __trace__(self) -> Any:
        """What runs a message of this task, with the gate before it; Celery sets it in every process of a worker."""
        return self.__dict__.get("__trace__")

    @__trace__.setter
    def __trace__(self, tracer: Any) -> None:
        self.__dict__["__trace__"] = tracer and gated(self, tracer)

    def _get_exec_options(self) -> Any:
        return with_route(self.name, super()._get_exec_options())  # type: ignore[misc]  # not in celery-types

    @reading
    def is_managed(self) -> bool:
        """Whether the message being run came from the control plane."""
        return self._managed("is_managed") is not None

    @reading
    def attempt(self) -> int:
        """Which attempt runs, from 1."""
        run = self._managed("attempt")
        if run is not None:
            return run.claim.attempt
        return int((self._message or self.request).retries or 0) + 1

    @reading
    def max_attempts(self) -> int | None:
        """Attempts until the task is failed; None for a plain Celery task that retries for ever."""
        run = self._managed("max_attempts")
        if run is not None:
            return run.retries.max_attempts
        return None if self.max_retries is None else self.max_retries + 1

    @reading
    def cancelled(self) -> bool:
        """Whether the managed run was asked to end; costs a look at shared memory. A body that then returns has
        succeeded, one that raises ends the task as cancelled. False in a plain Celery run.
        """
        run = self._managed("cancelled")
        return run is not None and run.is_cancelled()

    def raise_if_cancelled(self) -> None:
        """Raise ``TaskCancelled`` when the run was asked to end."""
        run = self._managed("raise_if_cancelled()")
        if run is not None and run.is_cancelled():
            raise TaskCancelled("the task was cancelled while it ran")

    @contextmanager
    def calling(self, dependency: str) -> Iterator[None]:
        """``with self.calling("smtp"):`` what is raised inside is the failure of that dependency.

        When the task was not known to depend on it and its circuit breaker is open, it raises ``BreakerOpen``: the call
        is not made, and the task is held until the breaker closes. Without effect in a plain Celery run. Raises
        ``ValueError`` for what cannot be the name of a dependency.
        """
        run = self._managed("calling()")
        if run is None:
            breaker_of(dependency)
            yield
        else:
            with run.dependencies.calling(dependency):
                yield

    def once(self, key: str) -> Step:
        """A step that happens at most once across the attempts of a task: ``with self.once("charge") as step:``.

        A plain call is always the first; one that the body of a managed task makes belongs to that task. Raises
        ``OnceNotManaged`` in a plain Celery run. What it can promise: ``pointsman.run.once``.
        """
        run = self._managed("once()")
        if run is not None:
            return run.once(key)
        if self._message is not None or carried_run() is not None:
            raise OnceNotManaged("self.once() needs a task that was submitted over HTTP")
        return Step(key, 1, MemoryRecords())

    def progress(self, current: float, total: float | None = None, note: str = "") -> None:
        """Show how far the task is. Costs no round trip; while it is called often, only some of it arrives."""
        run = self._managed("progress()")
        if run is not None:
            run.show_progress(progress_text("PROGRESS", current, total, note, None))
            return
        message = self._message
        if message is not None:
            meta = {"current": current, "total": total, "note": note}
            super().update_state(message.id, state="PROGRESS", meta=meta)

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **options: Any
    ) -> None:
        """Celery's; in a managed run the state and its meta are the task's progress."""
        run = self._managed_run
        if run is None or task_id not in (None, run.id):
            run = find_managed("update_state()") if task_id is None else find_by_id(task_id)
        if run is None:
            super().update_state(task_id, state, meta, **options)
            return
        run.show_progress(progress_text(state or "PROGRESS", None, None, "", meta))

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: Any = None,
        throw: bool = True,
        eta: Any = None,
        countdown: Any = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Any:
        """Celery's retry; in a managed run it ends the attempt and says when the next one is due.

        There the wait is a row of the control plane and not a message, so it outlives everything. Raises
        ``RetryNotManaged`` for other arguments or message options than those the task was submitted with.
        """
        run = self._run_of_body("retry()")
        if run is None:
            return super().retry(args, kwargs, exc, throw, eta, countdown, max_retries, **options)
        if options or not run.has_arguments(args, kwargs):
            what = ", ".join(sorted(options)) or "its arguments"
            raise RetryNotManaged(f"self.retry() cannot change {what} of a managed task: submit another task instead")
        asked = run.retries.ask(exc, eta, countdown, max_retries)
        if throw:
            raise asked
        return asked

    def replace(self, sig: Any) -> Any:
        """Celery's replace; refused in a managed run."""
        if self._managed_run is not None or find_managed("replace()") is not None:
            raise ReplaceNotManaged("a managed task cannot replace itself: submit another task instead")
        return super().replace(sig)

    def signature_from_request(self, request: Any = None, *args: Any, **options: Any) -> Any:
        """Celery's copy of a message, which never carries our header on."""
        signature = super().signature_from_request(request, *args, **options)
        headers = signature.options.get("headers")
        if headers and HEADER in headers:
            signature.options["headers"] = {name: value for name, value in headers.items() if name != HEADER}
        return signature

    @property
    def request(self) -> Any:
        """Celery's; in a thread that carries a managed run, that run's."""
        if self.request_stack.top is None:
            carried = carried_run()
            if carried is not None and carried.managed is not None and carried.managed.task is self:
                return carried.request
        return super().request

    @property
    def _managed_run(self) -> AttemptOfTask | None:
        """The run of this thread's message: known from the gate on, and still in the handlers after the body."""
        request: Any = self.request_stack.top
        return None if request is None else request.__dict__.get(MANAGED_RUN)

    def _managed(self, asked: str) -> AttemptOfTask | None:
        """The managed run this code belongs to. Raises ``RunNotCarried``."""
        run = self._managed_run
        if run is not None:
            return run
        carried = current_run(asked)
        return None if carried is None else carried.managed

    def _run_of_body(self, asked: str) -> AttemptOfTask | None:
        """The managed run whose body this is, not one that made a plain call of it. Raises ``RunNotCarried``."""
        run = self._managed_run
        if run is not None or self.request_stack.top is not None:
            return run
        run = find_managed(asked)
        return run if run is not None and run.task is self else None

    @property
    def _message(self) -> Any:
        """The request of the plain Celery run this code belongs to; None in a plain call."""
        request: Any = self.request_stack.top
        if request is None:
            carried = carried_run()
            return None if carried is None else carried.request
        return None if request.id is None or request.called_directly or request.is_eager else request
