"""The way of a task through its states, from what is kept of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pointsman_contract.states import TaskState
from pointsman_service.observe.tasks.attempts import Attempt
from pointsman_service.observe.tasks.path import path_of
from pointsman_service.observe.tasks.task import Task
from tests.unit.observe.explain.situations import task

SUBMITTED = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return SUBMITTED + timedelta(seconds=seconds)


def of(state: TaskState, **changes: Any) -> Task:
    return replace(task(submitted_at=SUBMITTED, due_at=SUBMITTED, state=state), **changes)


def attempt(number: int, begin: float, end: float | None, state: Any = "failed") -> Attempt:
    finished = None if end is None else at(end)
    seconds = None if end is None else end - begin
    return Attempt(number, state, "w@h", at(begin), finished, seconds, None)


def way(
    found: Task, *attempts: Attempt, asked_for: datetime | None = None, now: float = 100.0
) -> list[tuple[Any, ...]]:
    path = path_of(found, attempts, asked_for, at(now))
    joints = [stretch.until for stretch in path[:-1]]
    assert joints == [stretch.since for stretch in path[1:]], "there is a gap"
    return [
        (str(one.state), (one.since - SUBMITTED).total_seconds(), one.seconds, one.attempt and one.attempt.attempt)
        for one in path
    ]


def test_what_succeeded_at_once_was_queued_and_ran() -> None:
    found = of(TaskState.SUCCEEDED, attempt=1, finished_at=at(5))
    assert way(found, attempt(1, 2, 5, "succeeded")) == [("queued", 0, 2, None), ("running", 2, 3, 1)]


def test_what_was_to_start_later_is_scheduled_until_then() -> None:
    found = of(TaskState.SUCCEEDED, attempt=1, due_at=at(60), finished_at=at(65))
    shown = [("scheduled", 0, 60, None), ("queued", 60, 2, None), ("running", 62, 3, 1)]
    assert way(found, attempt(1, 62, 65, "succeeded"), asked_for=at(60)) == shown


def test_the_wait_for_the_newest_attempt_is_told_apart_from_its_queue() -> None:
    found = of(TaskState.FAILED, attempt=2, due_at=at(20), finished_at=at(30))
    assert way(found, attempt(1, 1, 10), attempt(2, 22, 30)) == [
        ("queued", 0, 1, None),
        ("running", 1, 9, 1),
        ("retrying", 10, 10, None),
        ("queued", 20, 2, None),
        ("running", 22, 8, 2),
    ]


def test_of_an_older_attempt_it_is_not_known_when_it_was_due() -> None:
    found = of(TaskState.FAILED, attempt=3, due_at=at(40), finished_at=at(50))
    path = way(found, attempt(1, 0, 10), attempt(2, 20, 30), attempt(3, 40, 50))
    assert path[1] == ("retrying", 10, 10, None)


def test_what_retries_keeps_how_its_first_attempt_waited() -> None:
    found = of(TaskState.RETRYING, attempt=1, due_at=at(200))
    shown = [("scheduled", 0, 60, None), ("queued", 60, 5, None), ("running", 65, 5, 1), ("retrying", 70, 30, None)]
    assert way(found, attempt(1, 65, 70), asked_for=at(60)) == shown


def test_what_runs_runs_until_now() -> None:
    found = of(TaskState.RUNNING, attempt=1)
    path = path_of(found, [attempt(1, 10, None, "running")], None, at(100))
    assert (path[-1].is_open, path[-1].until) == (True, at(100))


def test_what_is_held_was_queued_until_it_was() -> None:
    found = of(TaskState.HELD, held_at=at(30))
    assert way(found) == [("queued", 0, 30, None), ("held", 30, 70, None)]


def test_what_never_started_waited_until_its_end() -> None:
    assert way(of(TaskState.CANCELLED, finished_at=at(40))) == [("queued", 0, 40, None)]
    put_off = of(TaskState.CANCELLED, due_at=at(60), finished_at=at(40))
    assert way(put_off, asked_for=at(60)) == [("scheduled", 0, 40, None)]
    between = of(TaskState.EXPIRED, attempt=1, due_at=at(50), finished_at=at(60))
    assert way(between, attempt(1, 5, 10))[-2:] == [("retrying", 10, 40, None), ("queued", 50, 10, None)]


def test_clocks_that_differ_make_no_stretch_of_less_than_nothing() -> None:
    found = of(TaskState.SUCCEEDED, attempt=1, due_at=at(0.01), finished_at=at(1))
    assert all(seconds >= 0 for _, _, seconds, _ in way(found, attempt(1, -0.005, 1, "succeeded")))


def test_an_attempt_whose_end_nobody_told_does_not_hide_what_followed() -> None:
    found = of(TaskState.QUEUED, attempt=1, due_at=at(0), interruptions=1)
    assert way(found, attempt(1, 10, None, "interrupted"))[-1] == ("queued", 10, 90, None)
