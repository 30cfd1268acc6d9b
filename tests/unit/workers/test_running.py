"""Whose run a thread belongs to, and what is refused where nobody knows."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pointsman.errors import OnceNotManaged, RunNotCarried
from pointsman.node import node
from pointsman.run.once import Record
from pointsman.run.running import carry, put_down
from pointsman.testing import Ran, run_attempt
from tests.unit.workers.conftest import MakeTask

ASKS: dict[str, Callable[[Any], Any]] = {
    "once": lambda task: task.once("charge").__enter__(),
    "cancelled": lambda task: task.cancelled,
    "raise_if_cancelled": lambda task: task.raise_if_cancelled(),
    "progress": lambda task: task.progress(1, 2),
    "update_state": lambda task: task.update_state(state="HALF", meta={"current": 1}),
    "calling": lambda task: task.calling("smtp").__enter__(),
    "attempt": lambda task: task.attempt,
    "max_attempts": lambda task: task.max_attempts,
    "is_managed": lambda task: task.is_managed,
    "retry": lambda task: task.retry(countdown=9, throw=False),
    "replace": lambda task: task.replace(task.s()),
}


def in_to_thread(work: Callable[[], Any]) -> Any:
    return asyncio.run(asyncio.to_thread(work))


def in_a_pool_with_the_context(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, work).result()


def in_a_bare_pool(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


CARRYING = (in_to_thread, in_a_pool_with_the_context)


@pytest.mark.parametrize("start", CARRYING)
def test_a_step_in_a_thread_happens_once_across_attempts(make: MakeTask, start: Any) -> None:
    charges = []

    def charge(task: Any) -> None:
        with task.once("charge") as step:
            if step:
                charges.append(task.attempt)

    def body(self: Any) -> None:
        start(lambda: charge(self))
        raise ValueError("after the charge")

    task, steps = make(body), dict[str, Record]()
    for attempt in (1, 2, 3):
        assert run_attempt(task, attempt=attempt, once=steps).state == "retrying"
    assert charges == [1]


@pytest.mark.parametrize("start", CARRYING)
def test_a_thread_knows_the_run_as_its_body_does(make: MakeTask, start: Any) -> None:
    def body(self: Any) -> Any:
        def look() -> list[Any]:
            self.progress(3, 4)
            with self.calling("smtp"):
                pass
            return [self.attempt, self.max_attempts, self.is_managed, self.cancelled, self.request.id]

        inside = [self.attempt, self.max_attempts, self.is_managed, self.cancelled, self.request.id]
        assert start(look) == inside
        return inside[:4]

    ran = run_attempt(make(body), attempt=2, max_attempts=5)
    assert ran.result == [2, 5, True, False], ran.error
    assert [one["current"] for one in ran.progress] == [3]


@pytest.mark.parametrize("start", [*CARRYING, in_a_bare_pool])
def test_a_state_under_the_tasks_own_id_is_its_progress_in_any_thread(make: MakeTask, start: Any) -> None:
    def body(self: Any) -> None:
        task_id = self.request.id
        start(lambda: self.update_state(task_id, "HALF", {"current": 5}))

    assert [(one["state"], one["current"]) for one in run_attempt(make(body)).progress] == [("HALF", 5)]


@pytest.mark.parametrize("start", CARRYING)
def test_a_retry_in_a_thread_says_when(make: MakeTask, start: Any) -> None:
    def body(self: Any) -> None:
        start(lambda: self.retry(countdown=77))

    ran = run_attempt(make(body))
    assert (ran.state, ran.retry_in_seconds) == ("retrying", 77)


@pytest.mark.parametrize("start", CARRYING)
def test_a_thread_is_told_of_a_cancellation(make: MakeTask, start: Any) -> None:
    def body(self: Any) -> None:
        start(self.raise_if_cancelled)

    assert run_attempt(make(body), cancelled=True).state == "cancelled"


@pytest.mark.parametrize("ask", ASKS)
def test_a_thread_that_carries_no_run_is_refused(make: MakeTask, ask: str) -> None:
    def body(self: Any) -> Any:
        return in_a_bare_pool(lambda: ASKS[ask](self))

    ran = run_attempt(make(body))
    assert isinstance(ran.raised, RunNotCarried), ran
    assert ran.state == "failed", "another attempt would do the same"
    assert "copy_context" in str(ran.raised)


@pytest.mark.parametrize("ask", ASKS)
def test_a_thread_that_outlives_its_run_is_refused(make: MakeTask, ask: str) -> None:
    ended = threading.Event()
    refused: list[BaseException | None] = []

    def work(task: Any) -> None:
        ended.wait(20)
        try:
            ASKS[ask](task)
        except BaseException as error:
            refused.append(error)

    threads = []

    def body(self: Any) -> None:
        threads.append(threading.Thread(target=contextvars.copy_context().run, args=(work, self)))
        threads[0].start()

    assert run_attempt(make(body)).state == "succeeded"
    ended.set()
    threads[0].join(20)
    assert [type(error) for error in refused] == [RunNotCarried]


@pytest.fixture
def as_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is one of a node."""
    monkeypatch.setattr(node, "_current", [object()])


@pytest.mark.usefixtures("as_worker")
def test_a_thread_of_a_worker_that_runs_nothing_is_refused(make: MakeTask) -> None:
    with pytest.raises(RunNotCarried):
        in_a_bare_pool(lambda: ASKS["once"](make()))


def test_outside_of_a_worker_a_thread_is_a_plain_call(make: MakeTask) -> None:
    assert in_a_bare_pool(lambda: make().attempt) == 1
    assert in_a_bare_pool(lambda: ASKS["once"](make()).first)


def test_a_plain_call_of_another_task_belongs_to_the_run_that_makes_it(make: MakeTask) -> None:
    charges = []

    def charge(self: Any) -> None:
        with self.once("charge") as step:
            if step:
                charges.append(self.attempt)

    other = make(charge)

    def body(self: Any) -> None:
        other()
        raise ValueError("after the charge")

    task, steps = make(body), dict[str, Record]()
    ran: list[Ran] = [run_attempt(task, attempt=attempt, once=steps) for attempt in (1, 2)]
    assert [one.state for one in ran] == ["retrying", "retrying"]
    assert charges == [1]


def test_a_thread_of_a_plain_run_knows_that_it_is_one(make: MakeTask) -> None:
    task = make()
    task.push_request(id="plain", retries=2, called_directly=False, is_eager=False)
    carrying = carry(None, task.request_stack.top)
    try:
        assert in_to_thread(lambda: (task.attempt, task.is_managed, task.cancelled)) == (3, False, False)
        with pytest.raises(OnceNotManaged):
            in_to_thread(lambda: ASKS["once"](task))
    finally:
        put_down(carrying)
        task.pop_request()
