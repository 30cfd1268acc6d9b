"""Test a task without servers: the same steps as in a worker, but for the gate and the report.

::

    from pointsman.testing import run

    def test_greeting_is_sent():
        assert run(send_greeting, to="a@example.org").result == {"sent_to": "a@example.org"}

It needs the extra: ``pip install 'pointsman[testing]'``. Time limits do not end such a run. An ``async def`` task needs
a plain test function: it brings its own event loop.
"""

import json
import logging
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from uuid import uuid4

from celery.app.trace import build_tracer
from celery.exceptions import Retry

from pointsman.app import app
from pointsman.base import ManagedTask
from pointsman.errors import ArgumentsNotValid
from pointsman.extras import require
from pointsman.node.keeper import Note, Outcome
from pointsman.parent.catalogue import specify
from pointsman.run.child import Child
from pointsman.run.gate import Claim
from pointsman.run.managed_run import ManagedRun
from pointsman.run.once import MemoryRecords, Record, Records
from pointsman.run.tracing import let_rules_retry, pass_through
from pointsman.settings import Settings, settings
from pointsman.task_type.options import check
from pointsman.task_type.retrying import rules_of
from pointsman_contract.events import ErrorBody, EventKind, Progress
from pointsman_contract.formats import FORMATS
from pointsman_contract.message import HEADER, VERSION, ManagedHeader

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ran:
    """How one attempt ended."""

    state: Literal["succeeded", "retrying", "failed", "cancelled"]
    """``failed`` when no other attempt follows: a permanent error, or the budget is spent."""
    result: Any = None
    """As readers of the API get it: through JSON, models as objects."""
    error: ErrorBody | None = None
    """Type, message and traceback, as they are recorded."""
    raised: BaseException | None = None
    """The exception itself."""
    retry_in_seconds: float | None = None
    """When the next attempt would be due; drawn anew in every run when the policy has jitter."""
    progress: list[Progress] = field(default_factory=list)
    """Everything the body said of how far it is, in order."""


def run(task: Any, /, *args: Any, **kwargs: Any) -> Ran:
    """Run the first attempt of a task with these arguments, and say how it ended. See ``run_attempt``."""
    return run_attempt(task, args, kwargs)


def run_attempt(
    task: Any,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    attempt: int = 1,
    max_attempts: int | None = None,
    headers: Mapping[str, Any] | None = None,
    cancelled: bool = False,
    once: MutableMapping[str, Record] | None = None,
) -> Ran:
    """Run one attempt of a task as a worker would, and say how it ended.

    The arguments go through JSON and are checked as a submission is. ``max_attempts`` defaults to the task type's;
    ``headers`` are message headers besides Celery's own. ``cancelled``: it is asked to end from its beginning; when it
    then raises its state is ``cancelled``. ``once``: a dict that holds the steps of ``self.once()`` from one run to the
    next. Raises ``ArgumentsNotValid`` for what the API would refuse with 422, and ``OptionNotHonoured`` for a task that
    no worker would start with.
    """
    # What the decorator gives is a proxy until something of it is used.
    task = app.tasks[task.name]
    rules = check(task, settings().topology, settings().retry_policy)
    given, named = json.loads(json.dumps([list(args), dict(kwargs or {})]))
    _check_arguments(task, given, named)
    bench = _Bench(attempt, cancelled, once)
    header: ManagedHeader = {
        "version": VERSION,
        "epoch": 1,
        "dispatch": 1,
        "after": attempt - 1,
        "max_attempts": max_attempts or rules.policy.max_attempts,
        "expires_at": None,
        "traceparent": None,
        "sequence": 1,
        "sent_at": 0.0,
    }
    message = {
        "id": str(uuid4()),
        "args": given,
        "kwargs": named,
        "ignore_result": True,
        "is_eager": False,
        "delivery_info": {"routing_key": task.queue or ""},
        **(headers or {}),
        HEADER: header,
    }
    let_rules_retry(task)
    managed = ManagedRun(task, message, given, named, cast(Child, bench))
    try:
        pass_through(managed, build_tracer(task.name, task, app=app))
    except SystemExit:
        logger.debug("the body of %s asked its process to end", task.name)
    return bench.ran(managed.raised)


def _check_arguments(task: ManagedTask, args: list[Any], kwargs: dict[str, Any]) -> None:
    spec = specify(task, rules_of(task))
    named = spec.bind(args, kwargs)
    if isinstance(named, list):
        raise ArgumentsNotValid("; ".join(f"{pointer}: {detail}" for pointer, detail in named))
    require("pointsman.testing", "testing")
    import jsonschema_rs

    validator = jsonschema_rs.validator_for(spec.arguments_schema, formats=FORMATS, validate_formats=True)
    faults = [
        f"{spec.pointer(list(error.instance_path), len(args))}: {error.message}"
        for error in validator.iter_errors(named)
    ]
    if faults:
        raise ArgumentsNotValid("; ".join(faults))


class _Bench:
    """Stands where a worker's child does: grants every claim and keeps what is reported."""

    owner = "testing@localhost#0"
    stopping = False
    releasing = False
    sealer = sealing = None
    spans = None

    def __init__(self, attempt: int, cancelled: bool, once: MutableMapping[str, Record] | None) -> None:
        self.settings: Settings = settings()
        self.in_body = False
        self.slot = self.slots = self.gate = self.reporter = self.keeper = self.redis = self
        self._attempt = attempt
        self._cancelled = cancelled
        self._once = {} if once is None else once
        self._outcome: Outcome | None = None
        self._progress: list[Progress] = []

    def show(self, *_: Any) -> None:
        pass

    def clear(self) -> None:
        pass

    def show_calling(self, _: str) -> None:
        pass

    def command(self, *_: Any) -> None:
        """Redis has nothing to say of any circuit breaker."""

    def is_cancelled(self, _: str) -> bool:
        return self._cancelled

    def records(self, *_: Any) -> Records:
        return MemoryRecords(self._attempt, self._once)

    def pass_(self, *_: Any) -> Claim:
        return Claim(self._attempt, started_at=0.0)

    def note_latest(self, note: Note) -> None:
        self._progress.append(json.loads(json.loads(note.body)["progress"]))

    def report(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def ran(self, raised: BaseException | None) -> Ran:
        if self._outcome is None:
            # The run itself broke, before its report.
            raise raised or RuntimeError("the run ended without an outcome")
        body = json.loads(self._outcome.body)
        if self._outcome.kind == EventKind.SUCCEEDED:
            return Ran("succeeded", json.loads(body.get("result", "null")), progress=self._progress)
        goes_on = isinstance(raised, Retry)
        cause = getattr(raised, "exc", None) or raised
        return Ran(
            "cancelled" if self._cancelled else "retrying" if goes_on else "failed",
            error=body["error"],
            raised=cause,
            retry_in_seconds=body.get("retry_in_seconds") if goes_on else None,
            progress=self._progress,
        )
