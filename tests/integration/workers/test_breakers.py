"""What a real worker says to circuit breakers, and what they say to it."""

from collections.abc import Iterator
from typing import Any

import pytest

from pointsman_contract.breaker_entry import BLOCKS, DEFAULT_FIELD, PASSES, PROBES, body_of, encode
from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.errors import ErrorType
from pointsman_contract.keys import BREAKER_FAILURES, BREAKERS
from tests.stand.waiting import until_now

from .support import ControlPlane

TYPE, SMTP, DB = "task_type:library.calls", "dependency:smtp", "dependency:db"


@pytest.fixture
def plane(library_worker: ControlPlane) -> Iterator[ControlPlane]:
    """A control plane whose breakers are all closed, of the default policy."""
    library_worker.redis.delete(BREAKERS, BREAKER_FAILURES)
    put(library_worker, DEFAULT_FIELD, PASSES, 0, "closed")
    yield library_worker
    library_worker.redis.delete(BREAKERS, BREAKER_FAILURES)


def put(plane: ControlPlane, field: str, mark: str, epoch: int, state: str, **permits: float) -> None:
    plane.redis.hset(BREAKERS, field, encode(mark, epoch, body_of(BreakerPolicy(), state, None, permits, 0)))


def outcome(plane: ControlPlane, kind: str, *args: Any, **options: Any) -> dict[str, Any]:
    task = plane.publish("library.calls", *args, **options)
    return plane.wait_for(task, kind).body


def failures(plane: ControlPlane) -> dict[str, str]:
    return dict(plane.redis.hgetall(BREAKER_FAILURES))


def test_a_success_names_every_breaker_with_its_epoch_and_forgets_its_failures(plane: ControlPlane) -> None:
    put(plane, SMTP, PASSES, 4, "closed")
    plane.redis.hset(BREAKER_FAILURES, mapping={SMTP: 2, DB: 1, "dependency:other": 1})
    body = outcome(plane, "succeeded", "smtp", "well")
    assert body["breakers"] == {TYPE: 0, SMTP: 4, DB: 0}
    assert failures(plane) == {"dependency:other": "1"}


def test_a_failure_inside_of_calling_counts_for_that_dependency_alone(plane: ControlPlane) -> None:
    body = outcome(plane, "failed", "db", "fail")
    assert body["blamed"] == [DB]
    assert body["error_classes"][:3] == ["ConnectionRefusedError", "ConnectionError", "OSError"]
    assert failures(plane) == {DB: "1"}


def test_a_failure_outside_counts_for_the_task_type(plane: ControlPlane) -> None:
    assert outcome(plane, "failed", "db", "fail later")["blamed"] == [TYPE]
    assert failures(plane) == {TYPE: "1"}


def test_a_refusal_counts_as_an_answer(plane: ControlPlane) -> None:
    plane.redis.hset(BREAKER_FAILURES, DB, 3)
    body = outcome(plane, "failed", "db", "refuse")
    assert "blamed" not in body
    assert body["answered"] == [DB]
    assert failures(plane) == {}


def test_failures_in_a_row_open_the_breaker_and_the_gate_holds_the_next(plane: ControlPlane) -> None:
    for _ in range(BreakerPolicy().failure_threshold or 0):
        outcome(plane, "failed", "smtp", "fail")
    assert plane.redis.hget(BREAKERS, SMTP).startswith("!1|")
    held = plane.publish("library.calls", "db", "well")
    assert plane.wait_for(held, "held").attempt == 0
    assert plane.claim(held) == {}
    assert plane.kinds(held) == ["held"]
    until_now(lambda: plane.unacknowledged() == 0, "the acknowledgement")


def test_an_open_breaker_that_nobody_named_keeps_the_call_from_being_made(plane: ControlPlane) -> None:
    put(plane, "dependency:other", BLOCKS, 1, "open")
    task = plane.publish("library.calls", "other", "well")
    blocked = plane.wait_for(task, "blocked")
    assert blocked.attempt == 1
    assert blocked.body["held_by"] == "dependency:other"
    assert blocked.body["error"]["type"] == "workers.BreakerOpen"
    assert plane.claim(task)["state"] == "done"
    until_now(lambda: plane.unacknowledged() == 0, "the acknowledgement")
    put(plane, "dependency:other", PROBES, 2, "half_open", **{task: 1e12})
    plane.publish("library.calls", "other", "well", task=task, after=1, dispatch=2, max_attempts=5)
    assert plane.wait_for(task, "succeeded").body["breakers"]["dependency:other"] == 2


def test_a_call_not_made_by_a_task_that_fails_fast_is_nobodys_failure(plane: ControlPlane) -> None:
    put(plane, "dependency:other", BLOCKS, 1, "open")
    body = plane.wait_for(plane.publish("library.calls_or_fails", "smtp", "other"), "failed").body
    assert body["error"]["type"] == ErrorType.CALL_NOT_MADE
    assert body.keys() & {"blamed", "answered", "held_by"} == set()
    assert failures(plane) == {}


def test_a_hard_time_limit_counts_for_what_was_called(plane: ControlPlane) -> None:
    body = outcome(plane, "failed", "smtp", "hang", timelimit=(2, None))
    assert body["timed_out"] is True
    assert body["blamed"] == [SMTP]
    assert failures(plane) == {SMTP: "1"}


def test_a_soft_time_limit_counts_for_what_was_called(plane: ControlPlane) -> None:
    body = outcome(plane, "failed", "db", "hang", timelimit=(30, 1))
    assert (body["timed_out"], body["blamed"]) == (True, [DB])


def test_a_process_that_dies_counts_for_the_task_type(plane: ControlPlane) -> None:
    task = plane.publish("library.crashes")
    body = plane.wait_for(task, "failed").body
    assert (body["error"]["type"], body["blamed"]) == ("WorkerLost", ["task_type:library.crashes"])
    assert failures(plane) == {"task_type:library.crashes": "1"}


def test_a_permanent_error_counts_nowhere(plane: ControlPlane) -> None:
    body = outcome(plane, "failed", "smtp", "never")
    assert (body["permanent"], body.keys() & {"blamed", "answered"}) == (True, set())
    assert failures(plane) == {}
