"""The task class of the application, and a managed run as a list of steps."""

import json
import secrets
import time
from functools import cached_property
from typing import Any, cast

from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]  # billiard is untyped
from billiard.exceptions import SoftTimeLimitExceeded
from celery import Task
from celery.app.task import Context
from celery.exceptions import TaskPredicate

from contract.events import StartedBody
from contract.message import HEADER, ManagedHeader
from workers.arguments import Arguments
from workers.child import Child, current_child
from workers.errors import PermanentError, ReplaceNotManaged, RetryNotManaged
from workers.gate import Patience
from workers.keeper import Outcome
from workers.report import Ending, describe, encode_result, failed, kind_of, outcome_body
from workers.slots import Phase, Run


class ManagedTask(Task):  # type: ignore[type-arg]  # generic in the stubs only
    """Every task of the application.

    A message of the control plane runs *managed*: claimed at the gate, its outcome reported before the message is
    acknowledged. Anything else, a direct call or a plain Celery message, runs exactly as Celery runs it.
    """

    Request = "workers.request:PointsmanRequest"
    queue: str | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A plain call, or the run of the message this process holds."""
        request: Any = self.request_stack.top
        if request is None or request.called_directly or request._protected:
            return super().__call__(*args, **kwargs)
        # What Celery's worker does for tasks without __call__: run once per message, without a second request.
        request._protected = 1
        if HEADER not in request.__dict__:
            return self.run(*args, **kwargs)
        return ManagedRun(self, request, current_child()).run(args, kwargs)

    @cached_property
    def arguments(self) -> Arguments:
        """The parameters of the body."""
        return Arguments.of(self)

    @property
    def is_managed(self) -> bool:
        """Whether the message being run came from the control plane."""
        request: Any = self.request_stack.top
        return request is not None and HEADER in request.__dict__

    def retry(self, *args: Any, **options: Any) -> Any:
        """Celery's retry; in a managed run a permanent failure: the control plane decides when to try again."""
        if self.is_managed:
            error = options.get("exc") or (args[2] if len(args) > 2 else None)
            raise RetryNotManaged("self.retry() is not available in a managed task") from error
        return super().retry(*args, **options)

    def replace(self, sig: Any) -> Any:
        """Celery's replace; refused in a managed run."""
        if self.is_managed:
            raise ReplaceNotManaged("a managed task cannot replace itself: submit another task instead")
        return super().replace(sig)

    def signature_from_request(self, request: Any = None, *args: Any, **options: Any) -> Any:
        """Celery's copy of a message, which never carries our header on."""
        signature = super().signature_from_request(request, *args, **options)
        headers = signature.options.get("headers")
        if headers and HEADER in headers:
            signature.options["headers"] = {name: value for name, value in headers.items() if name != HEADER}
        return signature


class ManagedRun:
    """One message of the control plane, from the gate to its report. The slot tells the parent where it stands."""

    def __init__(self, task: ManagedTask, request: Context, child: Child) -> None:
        self.task = task
        self.child = child
        self.accepted_at = time.monotonic()
        self.id = cast(str, request.id)
        self.header: ManagedHeader = request.__dict__[HEADER]
        self.queue = (request.delivery_info or {}).get("routing_key") or ""
        hard, soft = request.timelimit or (None, None)
        self.hard_limit_seconds = float(hard or task.time_limit or 0)
        self.patience_seconds = min(
            child.settings.gate_wait_seconds,
            min(limit for limit in (hard or task.time_limit, soft or task.soft_time_limit, 1e9) if limit) / 2,
        )

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The body's result; raises what the body raised, ``Ignore`` or ``Reject``."""
        self.child.in_body = False
        try:
            self.show_task()
            self.pass_gate()
            self.show_attempt()
            ending, result, error = self.run_body(args, kwargs)
            self.report(ending)
        finally:
            self.child.in_body = True
        if error is not None:
            raise error
        return result

    def show_task(self) -> None:
        """Before the gate the parent must know the token: the claim may be ours though its answer got lost."""
        self.token = secrets.token_hex(16)
        started: StartedBody = {
            "task_type": self.task.name,
            "queue": self.queue,
            "worker": self.child.owner,
            "dispatch": self.header["dispatch"],
        }
        self.started = json.dumps(started)
        self.child.slot.show(Phase.ASKING, self._slot_run())

    def pass_gate(self) -> None:
        """Claim the attempt, or clear the slot and leave."""
        patience = Patience(self.patience_seconds, self.child.slots)
        try:
            self.claim = self.child.gate.pass_(self.header, self.id, self.token, self.started, patience)
        except Exception:
            self.child.slot.clear()
            raise

    def show_attempt(self) -> None:
        """From here on the parent names the attempt in its beats and reports it, should this process die."""
        self.body_at = time.monotonic()
        self.child.slot.show(Phase.RUNNING, self._slot_run(self.claim.attempt, self.claim.started_at, self.body_at))

    def run_body(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Ending, Any, BaseException | None]:
        """How the attempt ended, what the body returned, and what to raise after the report."""
        child = self.child
        try:
            values, named = self.task.arguments.construct(args, kwargs)
            child.in_body = True
            try:
                result = self.task.run(*values, **named)
            finally:
                child.in_body = False
            text = encode_result(result)
            return ({} if text is None else {"result": text}), result, None
        except SoftTimeLimitExceeded as error:
            return failed(describe(error, skip_frames=1), timed_out=True), None, error
        except BaseException as error:
            if terminate_handler_fired():
                # This process is being killed: the parent reports the attempt.
                raise
            ending = failed(describe(error, skip_frames=1), permanent=isinstance(error, PermanentError))
            return ending, None, _raisable(error)

    def report(self, ending: Ending) -> None:
        """Tell Redis before the broker message is acknowledged."""
        body = outcome_body(self.started, self.claim.started_at, time.monotonic() - self.body_at, ending)
        self.child.reporter.report(Outcome(self.id, self.claim.attempt, self.token, kind_of(ending), body))

    def _slot_run(self, attempt: int = 0, started_at: float = 0.0, body_at: float = 0.0) -> Run:
        return Run(
            self.id,
            self.token,
            self.task.name,
            self.queue,
            self.header["dispatch"],
            self.accepted_at,
            self.hard_limit_seconds,
            attempt,
            started_at,
            body_at,
        )


def _raisable(error: BaseException) -> BaseException:
    """What Celery may see of a failure: a MemoryError would end its parent, Ignore and Retry would hide the failure."""
    if isinstance(error, (MemoryError, TaskPredicate)):
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
