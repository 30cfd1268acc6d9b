"""The way of a task through its states: what it was from when until when, as far as that is kept. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pointsman_contract.states import TERMINAL, TaskState
from pointsman_service.observe.tasks.attempts import Attempt
from pointsman_service.observe.tasks.task import Task

_WAITS_ON: Final = frozenset({TaskState.SCHEDULED, TaskState.RETRYING, TaskState.QUEUED, TaskState.HELD})


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the way."""

    state: TaskState
    since: datetime
    until: datetime
    """Never before ``since``; of the last one of an unfinished task now."""
    attempt: Attempt | None = None
    """That which ran."""
    is_open: bool = False
    """It goes on."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.until - self.since).total_seconds()


def path_of(task: Task, attempts: Sequence[Attempt], asked_for: datetime | None, now: datetime) -> list[Stretch]:
    """What the task was, from its submission until its end or now, without gaps. ``attempts``: oldest first;
    ``asked_for``: when it was to start, None: at once, or after its delay.

    Between attempts but the newest it is not kept when the next one was due: all of that is ``retrying``. When a task
    was held, and let go, is not kept either; ``Task.held_seconds`` says how long.
    """
    first_due = asked_for or task.submitted_at + timedelta(seconds=task.delay_seconds or 0.0)
    return list(_stretches(task, attempts, first_due, task.finished_at or now))


def _stretches(task: Task, attempts: Sequence[Attempt], first_due: datetime, end: datetime) -> Iterator[Stretch]:
    at = task.submitted_at
    begun = [one for one in attempts if one.started_at is not None]
    # Attempts that are not kept any more lie before the first that is.
    waits = TaskState.SCHEDULED if not begun or begun[0].attempt == 1 else TaskState.RETRYING
    newest = begun[-1].started_at if begun else None
    next_due = task.due_at if newest is None or task.due_at > newest else None
    for place, attempt in enumerate(begun):
        assert attempt.started_at is not None
        started = max(at, attempt.started_at)
        is_newest = place == len(begun) - 1
        due = task.due_at if is_newest and next_due is None else first_due if place == 0 else None
        yield from _wait(at, started, due if waits is TaskState.SCHEDULED or is_newest else None, waits)
        until = attempt.finished_at
        goes_on = until is None and is_newest and task.state is TaskState.RUNNING
        if goes_on or (until is None and is_newest and task.state in TERMINAL):
            until = end
        at = max(started, until or started)
        yield Stretch(TaskState.RUNNING, started, at, attempt, goes_on)
        waits = TaskState.RETRYING
    if task.state in TERMINAL:
        if at < end and (not begun or task.state in (TaskState.CANCELLED, TaskState.EXPIRED)):
            yield from _wait(at, end, next_due, waits)
    elif task.state in _WAITS_ON:
        yield from _still(task, at, end, next_due, waits)


def _still(task: Task, at: datetime, now: datetime, due: datetime | None, waits: TaskState) -> Iterator[Stretch]:
    """What it is now, and what it was since ``at``."""
    if task.state is TaskState.HELD:
        since = min(max(at, task.held_at or at), now)
        yield from _wait(at, since, due, waits)
    elif task.state is TaskState.QUEUED:
        since = min(max(at, due or at), now)
        if at < since:
            yield Stretch(waits, at, since)
    else:
        since = at
    yield Stretch(task.state, since, max(since, now), is_open=True)


def _wait(at: datetime, until: datetime, due: datetime | None, waits: TaskState) -> Iterator[Stretch]:
    """It waited for its time, and then for a worker; ``due`` None: that is not known apart."""
    if due is None:
        if at < until:
            yield Stretch(waits, at, until)
        return
    due = min(max(at, due), until)
    if at < due:
        yield Stretch(waits, at, due)
    if due < until:
        yield Stretch(TaskState.QUEUED, due, until)
