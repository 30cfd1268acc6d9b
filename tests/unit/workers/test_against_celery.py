"""One table of cases, through plain Celery and through a managed run: they differ in what the documentation lists, and
in nothing else.

Plain Celery is the installed one: its own tracer runs the body, its own message goes to a broker in memory and is read
back from there.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from queue import Empty
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from celery.app.trace import build_tracer
from celery.exceptions import Ignore, Reject

from pointsman.testing import run_attempt
from tests.unit.workers.conftest import MakeTask


@dataclass(frozen=True)
class Ended:
    """How one attempt ended."""

    state: str
    error: str | None = None
    """The exception's class, when the task has failed."""
    seconds: tuple[float, float] | None = None
    """When another attempt follows: after how long, at least and at most."""

    def fits(self, other: "Ended") -> bool:
        """Whether the other's delay lies within this one's, and the rest is equal."""
        if (self.state, self.error) != (other.state, other.error) or (self.seconds is None) != (other.seconds is None):
            return False
        if self.seconds is None or other.seconds is None:
            return True
        return self.seconds[0] <= other.seconds[0] and other.seconds[1] <= self.seconds[1]


@dataclass(frozen=True)
class Case:
    """One body with its options, in one attempt."""

    body: Any
    celery: Ended
    options: dict[str, Any] = field(default_factory=dict)
    attempt: int = 1
    managed: Ended | None = None
    """Only where the documentation lists a difference."""


def retrying(least: float, most: float | None = None) -> Ended:
    return Ended("retrying", seconds=(least, least if most is None else most))


def failed(error: str) -> Ended:
    return Ended("failed", error)


def raises(self: Any) -> None:
    raise ValueError("no")


def returns(self: Any) -> int:
    return 7


def asks(**options: Any) -> Any:
    def body(self: Any) -> None:
        raise self.retry(**options)

    return body


def asks_in_a_minute(self: Any) -> None:
    raise self.retry(eta=datetime.now(UTC) + timedelta(seconds=60))


def asks_while_handling(self: Any) -> None:
    try:
        raise KeyError("handled")
    except KeyError:
        self.retry(countdown=3)


def asks_without_throwing(self: Any) -> int:
    self.retry(countdown=3, throw=False)
    return 7


def ignores(self: Any) -> None:
    raise Ignore


def rejects(self: Any) -> None:
    raise Reject("no", requeue=False)


ON_ERRORS: dict[str, Any] = {"autoretry_for": (ValueError,)}
EXACT: dict[str, Any] = ON_ERRORS | {"retry_jitter": False}

CASES = {
    "returns": Case(returns, Ended("succeeded")),
    # self.retry
    "countdown": Case(asks(countdown=7), retrying(7)),
    "countdown of nothing": Case(asks(countdown=0), retrying(0)),
    "eta": Case(asks_in_a_minute, retrying(55, 60)),
    "countdown in the last attempt": Case(asks(countdown=7), failed("MaxRetriesExceededError"), attempt=4),
    "exc in the last attempt": Case(asks(exc=KeyError("x"), countdown=7), failed("KeyError"), attempt=4),
    "exc with attempts left": Case(asks(exc=KeyError("x"), countdown=7), retrying(7)),
    "max_retries of the call, spent": Case(
        asks(countdown=7, max_retries=1), failed("MaxRetriesExceededError"), attempt=2
    ),
    "max_retries of the call, beyond the task's": Case(asks(countdown=7, max_retries=9), retrying(7), attempt=6),
    "max_retries of the task": Case(asks(countdown=7), failed("MaxRetriesExceededError"), {"max_retries": 1}, 2),
    "no retries at all": Case(asks(countdown=7), failed("MaxRetriesExceededError"), {"max_retries": 0}),
    "while handling an error": Case(asks_while_handling, retrying(3)),
    "while handling, in the last attempt": Case(asks_while_handling, failed("MaxRetriesExceededError"), attempt=4),
    "default_retry_delay": Case(asks(), retrying(30), {"default_retry_delay": 30}),
    # autoretry_for
    "an error that is named": Case(raises, retrying(9), ON_ERRORS | {"retry_kwargs": {"countdown": 9}}),
    "a parent class is named": Case(raises, retrying(30), {"autoretry_for": (Exception,), "default_retry_delay": 30}),
    "another is named": Case(raises, failed("ValueError"), {"autoretry_for": (LookupError,)}),
    "named, in the last attempt": Case(raises, failed("ValueError"), ON_ERRORS | {"default_retry_delay": 30}, 4),
    "retry_kwargs, spent": Case(raises, failed("ValueError"), ON_ERRORS | {"retry_kwargs": {"max_retries": 1}}, 2),
    "dont_autoretry_for": Case(
        raises, failed("ValueError"), {"autoretry_for": (Exception,), "dont_autoretry_for": (ValueError,)}
    ),
    # backoff
    "retry_backoff": Case(raises, retrying(1), EXACT | {"retry_backoff": True}),
    "retry_backoff, third attempt": Case(raises, retrying(4), EXACT | {"retry_backoff": True}, 3),
    "retry_backoff with a factor": Case(raises, retrying(10), EXACT | {"retry_backoff": 5}, 2),
    "retry_backoff_max": Case(raises, retrying(12), EXACT | {"retry_backoff": 5, "retry_backoff_max": 12}, 3),
    "retry_jitter": Case(raises, retrying(0, 20), ON_ERRORS | {"retry_backoff": 5, "retry_jitter": True}, 3),
    "retry_backoff beside a countdown": Case(
        raises, retrying(5), EXACT | {"retry_backoff": 5, "retry_kwargs": {"countdown": 9}}
    ),
    # The differences that docs/writing-tasks.md lists.
    "a plain exception": Case(raises, failed("ValueError"), managed=retrying(0, 2)),
    "a plain exception in the last attempt": Case(raises, failed("ValueError"), attempt=4),
    "a bare retry": Case(asks(), retrying(180), managed=retrying(0, 2)),
    "autoretry_for and no delay": Case(raises, retrying(180), ON_ERRORS, managed=retrying(0, 2)),
    "throw=False": Case(asks_without_throwing, Ended("succeeded"), managed=retrying(3)),
    "Ignore": Case(ignores, Ended("ignored"), managed=failed("Ignore")),
    "Reject": Case(rejects, Ended("rejected"), managed=failed("Reject")),
}


def plain(case: Case) -> Ended:
    """The case as Celery runs it."""
    app = Celery("plain", broker="memory://", set_as_current=False)
    app.conf.task_default_queue = f"plain-{uuid4().hex}"
    decorate: Any = app.task
    task = decorate(name="plain.case", bind=True, ignore_result=True, shared=False, **case.options)(case.body)
    app.finalize()
    task = app.tasks["plain.case"]
    request = {
        "id": str(uuid4()),
        "retries": case.attempt - 1,
        "args": (),
        "kwargs": {},
        "delivery_info": {},
        "called_directly": False,
        "is_eager": False,
    }
    trace: Any = build_tracer(task.name, task, app=app, propagate=False)
    result = trace(request["id"], (), {}, request)
    again = _published(app)
    if result.info is None:
        return Ended("succeeded")
    state = str(result.info.state)
    if state == "RETRY":
        assert again is not None, "a retry is a message"
        assert again.headers["retries"] == case.attempt
        seconds = _seconds(result.info.retval.when)
        return Ended("retrying", seconds=(seconds, seconds))
    assert again is None
    return Ended(
        state.lower().replace("failure", "failed"), type(result.info.retval).__name__ if state == "FAILURE" else None
    )


def _published(app: Celery) -> Any:
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue(app.conf.task_default_queue)
        try:
            return queue.get(block=False)
        except Empty:
            return None


def _seconds(when: Any) -> float:
    return (when - datetime.now(UTC)).total_seconds() if isinstance(when, datetime) else float(when or 0)


def managed(case: Case, make: MakeTask) -> Ended:
    """The case as a managed run."""
    ran = run_attempt(make(case.body, **case.options), attempt=case.attempt)
    if ran.state == "retrying":
        assert ran.retry_in_seconds is not None
        return Ended("retrying", seconds=(ran.retry_in_seconds, ran.retry_in_seconds))
    if ran.state == "failed":
        assert ran.error is not None
        return failed(ran.error["type"].rpartition(".")[2])
    return Ended(ran.state)


@pytest.mark.parametrize("name", CASES)
def test_a_managed_run_differs_from_celery_only_where_the_documentation_says_so(name: str, make: MakeTask) -> None:
    case = CASES[name]
    assert case.celery.fits(plain(case)), plain(case)
    wanted = case.managed or case.celery
    assert wanted.fits(managed(case, make)), managed(case, make)
