"""One managed run as a list of steps, from the gate to its report."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]  # billiard is untyped
from billiard.exceptions import SoftTimeLimitExceeded
from celery.exceptions import Ignore, Retry, TaskPredicate

from pointsman.errors import TaskCancelled
from pointsman.node.keeper import Note, Outcome
from pointsman.node.slots import Phase, Run
from pointsman.run.child import Child
from pointsman.run.forked import stay
from pointsman.run.gate import Patience
from pointsman.run.once import Step
from pointsman.run.release import release
from pointsman.run.report import describe, encode_result, failed, kind_of, type_name
from pointsman.run.running import carry, put_down
from pointsman.run.sealed import opened_arguments, seal_ending, sealed_progress
from pointsman.run.sides import RunnableTask
from pointsman.run.written import Written
from pointsman.task_type.arguments import arguments_of
from pointsman.task_type.causes import call_not_made, cause_of, class_names
from pointsman.task_type.coroutines import watch
from pointsman.task_type.dependencies import Dependencies, declared_by, verdict_of
from pointsman.task_type.retrying import AttemptRetries, rules_of
from pointsman_contract.dependencies import breakers_of
from pointsman_contract.event_text import body_text, outcome_text, started_text
from pointsman_contract.events import Ending, ErrorBody, EventKind, ProgressBody
from pointsman_contract.failpoints import Failpoint, reach
from pointsman_contract.message import HEADER, ManagedHeader

logger = logging.getLogger(__name__)

MANAGED_RUN = "managed_run"
"""The attribute of a request that holds its run."""


class ManagedRun:
    """One message of the control plane, from the gate to its report. The slot tells the parent where it stands."""

    retries: AttemptRetries
    dependencies: Dependencies
    written: Written | None = None
    """What its code wrote, once it has written anything."""

    def __init__(self, task: RunnableTask, request: Mapping[str, Any], args: Any, kwargs: Any, child: Child) -> None:
        self.task = task
        self.request = request
        self.args, self.kwargs = opened_arguments(args, kwargs, child.sealer)
        self.child = child
        self.has_begun = False
        """Whether the attempt's own code was reached: its ``before_start``, its ``__call__``, its body."""
        self.is_reported = False
        self.raised: BaseException | None = None
        """What Celery was told of the attempt's end, when that was no success."""
        self.span: Any = None
        """Of the attempt, where tracing is on."""
        self.accepted_at = time.monotonic()
        self.id = cast(str, request["id"])
        self.header: ManagedHeader = request[HEADER]
        self.queue = (request.get("delivery_info") or {}).get("routing_key") or ""
        self.rules = rules_of(task)
        self.named: Sequence[str] = self.header.get("dependencies") or declared_by(task)
        self.progress: str | None = None
        hard, soft = request.get("timelimit") or (None, None)
        self.hard_limit_seconds = float(hard or task.time_limit or 0)
        self.patience_seconds = min(
            child.settings.gate_wait_seconds,
            min(limit for limit in (hard or task.time_limit, soft or task.soft_time_limit, 1e9) if limit) / 2,
        )

    def enter(self) -> None:
        """Claim the attempt. Raises ``Ignore`` or ``Reject`` as the gate does."""
        self.child.in_body = False
        self.show_task()
        self.pass_gate()
        reach(Failpoint.WORKER_CLAIMED)
        self.show_attempt()

    def carry_out(self, around: Callable[..., Any], before: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The body's result; raises what Celery may see of another ending. Reported in either case.

        ``before``: the task's ``before_start``. ``around``: its ``__call__``, which leads to its body.
        """
        self.has_begun = True
        try:
            if self.span is None or self.child.spans is None:
                ending, result, self.raised = self.run_body(around, before, args, kwargs)
            else:
                with self.child.spans.current(self.span):
                    ending, result, self.raised = self.run_body(around, before, args, kwargs)
            reach(Failpoint.WORKER_RAN)
            self.report(ending)
            reach(Failpoint.WORKER_REPORTED)
        finally:
            self.child.in_body = True
        if self.raised is not None:
            raise self.raised
        return result

    def fail(self, error: BaseException) -> None:
        """Report that the attempt ended with this error, unless its end is reported."""
        if self.is_reported:
            return
        ending, _, self.raised = self._describe_failure(error)
        self.report(ending)

    def show_task(self) -> None:
        """Before the gate the parent must know the token: the claim may be ours though its answer got lost."""
        self.token = secrets.token_hex(16)
        self.started = started_text(self.task.name, self.queue, self.child.owner, int(self.header["dispatch"]))
        self.child.slot.show(Phase.ASKING, self._slot_run())

    def pass_gate(self) -> None:
        """Claim the attempt, or clear the slot and leave."""
        patience = Patience(self.patience_seconds, self.child.slots)
        try:
            if self.child.slots.releasing:
                release(self.child.redis, self.id, self.started)
            breakers = breakers_of(self.task.name, self.named)
            self.claim = self.child.gate.pass_(
                self.header, self.id, self.token, self.started, patience, self.queue, breakers
            )
        except Exception:
            self.child.slot.clear()
            raise

    def show_attempt(self) -> None:
        """From here on the parent names the attempt in its beats and reports it, should this process die."""
        self.body_at = time.monotonic()
        self.child.slot.show(Phase.RUNNING, self._slot_run(self.claim.attempt, self.claim.started_at, self.body_at))
        if self.child.spans is not None:
            traceparent = self.header.get("traceparent")
            self.span = self.child.spans.begin(self.id, self.claim.attempt, self.task.name, self.queue, traceparent)
        self.retries = AttemptRetries.of(self.rules, self.header, self.claim.attempt)
        self.dependencies = Dependencies(
            self.id, self.task.name, self.named, self.claim.epochs, self.child.redis, self.child.slot
        )

    def run_body(
        self, around: Callable[..., Any], before: Callable[..., Any], args: Any, kwargs: Any
    ) -> tuple[Ending, Any, BaseException | None]:
        """How the attempt ended, what the body returned, and what to raise after the report."""
        child, task = self.child, self.task
        try:
            carrying = carry(self, task.request_stack.top)
            process = carrying[0].pid
            watch(self.is_cancelled)
            child.in_body = True
            try:
                before(task, self.id, self.args, self.kwargs)
                values, named = arguments_of(task).construct(args, kwargs)
                result = around(task, *values, **named)
            except BaseException as error:
                stay(process, task.name, self.id, error)
                raise
            else:
                stay(process, task.name, self.id)
            finally:
                child.in_body = False
                watch(None)
                put_down(carrying)
                if self.written is not None:
                    self.written.end()
            if self.retries.asked is not None:
                # self.retry(throw=False): the body went on to its end, and still wants to run again.
                raise self.retries.asked
            text = None if task.ignore_result else encode_result(result)
            return ({} if text is None else {"result": text}), result, None
        except BaseException as error:
            if terminate_handler_fired():
                # This process is being killed: the parent reports the attempt.
                raise
            return self._describe_failure(error)

    def report(self, ending: Ending) -> None:
        """Tell Redis before the broker message is acknowledged."""
        ending["breakers"] = self.dependencies.breakers
        if self.child.sealing is not None:
            seal_ending(ending, self.id, self.child.sealing)
        if self.progress is not None:
            ending["progress"] = self.progress
        spans = self.child.spans if self.span is not None else None
        if spans is not None:
            traceparent = spans.traceparent_of(self.span)
            if traceparent is not None:
                ending["traceparent"] = traceparent
        body = outcome_text(self.started, self.claim.started_at, time.monotonic() - self.body_at, ending)
        outcome = Outcome(self.id, self.claim.attempt, self.token, kind_of(ending), body, verdict_of(ending))
        self.child.reporter.report(outcome)
        self.is_reported = True
        if spans is not None:
            spans.end(self.span, ending)

    def is_cancelled(self) -> bool:
        """Whether this run was asked to end."""
        return self.child.slot.is_cancelled(self.token)

    def once(self, key: str) -> Step:
        """A step of this task."""
        return Step(key, self.claim.attempt, self.child.records(self.id, self.token, self.claim.attempt))

    def log_fields(self) -> dict[str, Any]:
        """What a line about this run says beside its text."""
        claim = getattr(self, "claim", None)
        named = {"task_id": self.id, "task_type": self.task.name, "queue": self.queue}
        return named if claim is None else {**named, "attempt": claim.attempt, **self.trace_fields()}

    def trace_fields(self) -> Mapping[str, str]:
        """What a line about this run says of its trace."""
        spans = self.child.spans
        return {} if self.span is None or spans is None else spans.fields_of(self.span)

    def writing(self) -> Written | None:
        """What keeps what the run writes; None: its task type says that nothing is kept."""
        if self.written is None and self.task.keep_logs:
            lines, sealing = self.child.keeper.lines, self.child.sealing
            self.written = Written(lines, self.id, self.claim.attempt, self.token, sealing)
        return self.written

    def show_progress(self, text: str) -> None:
        """Tell how far the attempt is; the last of it also goes with the outcome."""
        if self.child.sealing is not None:
            text = sealed_progress(text, self.id, self.child.sealing)
        self.progress = text
        body: ProgressBody = {"attempt": self.claim.attempt, "progress": text}
        self.child.keeper.note_latest(Note(EventKind.PROGRESS, self.id, body_text(body)))

    def has_arguments(self, args: Any, kwargs: Any) -> bool:
        """Whether these, of which None stands for what the message holds, are the message's own."""
        given, named = tuple(self.args or ()), dict(self.kwargs or {})
        if (args is None or tuple(args) == given) and (kwargs is None or dict(kwargs) == named):
            return True
        return self._by_name(given, named) == self._by_name(given if args is None else tuple(args), dict(kwargs or {}))

    def _by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], tuple[Any, ...]]:
        names = arguments_of(self.task).positional
        return dict(zip(names, args, strict=False)) | kwargs, args[len(names) :]

    def _describe_failure(self, error: BaseException) -> tuple[Ending, None, BaseException]:
        try:
            return self._failure(error)
        except Exception:
            # Whatever is wrong with the error, the attempt has ended and must be reported.
            logger.exception("the failure of task %s could not be described", self.id, extra=self.log_fields())
            kind = type_name(error)
            unknown: ErrorBody = {"type": kind, "message": "(the error could not be described)", "traceback": ""}
            return failed(unknown), None, RuntimeError(kind)

    def _failure(self, error: BaseException) -> tuple[Ending, None, BaseException]:
        if self.is_cancelled():
            return (
                failed(describe(_as_cancelled(self._cause(error))), timed_out=isinstance(error, SoftTimeLimitExceeded)),
                None,
                _raisable(error),
            )
        not_made = call_not_made(error)
        if not_made is not None and not self.task.fail_fast:
            blocked = failed(describe(not_made))
            blocked["held_by"] = not_made.breaker
            return blocked, None, Ignore(f"held: {not_made}")
        retries = self.retries
        seconds = retries.seconds_after(error)
        ending = failed(
            describe(self._cause(error)),
            retry_in_seconds=seconds,
            max_attempts=retries.asked_max_attempts,
            timed_out=isinstance(error, SoftTimeLimitExceeded),
        )
        self._blame(ending, error)
        if seconds is None or self.retries.is_last:
            return ending, None, _raisable(error)
        if isinstance(error, Retry):
            return ending, None, error
        return ending, None, Retry(exc=cast(Exception, error), when=cast(Any, seconds))

    def _blame(self, ending: Ending, error: BaseException) -> None:
        # Celery's ``throws`` says what is no error, but an answer that is expected.
        blamed = self.dependencies.blamed(error, (*self.task.breaker_ignores, *(self.task.throws or ())))
        if blamed is not None:
            ending["blamed"] = [blamed]
            ending["error_classes"] = class_names(cause_of(error))
        if self.dependencies.answered:
            ending["answered"] = self.dependencies.answered

    def _cause(self, error: BaseException) -> BaseException:
        """Why an attempt asked to be retried: what it gave to ``self.retry()``, or was handling when it called it."""
        if not isinstance(error, Retry):
            return error
        return self.retries.asked_because or error.exc or error.__cause__ or error.__context__ or error

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
            self.header.get("interruptions", 0),
        )


def _as_cancelled(error: BaseException) -> BaseException:
    """The error of a run that was asked to end, in our words when an async body was told where it waited."""
    if not isinstance(error, asyncio.CancelledError):
        return error
    return TaskCancelled("the task was cancelled while it ran").with_traceback(error.__traceback__)


def _raisable(error: BaseException) -> BaseException:
    """What Celery may see of a failure: a MemoryError would end its parent, a CancelledError its process; Ignore and
    Retry would hide the failure.
    """
    if isinstance(error, (MemoryError, TaskPredicate, asyncio.CancelledError)):
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
