"""What one recorder writes down: stopped while a worker node runs no-op tasks, it then reads what was reported."""

import os
import signal
import time

from tests.benchmark.report import Report, Round
from tests.benchmark.rounds import play
from tests.benchmark.stack import Stack

_BATCH_TASKS = 500
_LOOK_SECONDS = 0.02
_EVENTS_A_TASK = 2
"""It started, and it succeeded."""


def run(quick: bool) -> Report:
    """10,000 tasks a round (4,000 when quick), with nothing beside the recorder but idle loops while it is measured."""
    tasks = 4_000 if quick else 10_000
    with Stack() as stack:
        rounds = play(lambda _: _round(stack, tasks), 3 if quick else 5)
    return Report(
        name="recorder",
        rounds=rounds,
        shown=["tasks_per_second", "recorder_cpu_us", "postgres_cpu_us"],
        unit="tasks a second, CPU µs a task",
        notes=[f"{tasks:,} tasks a round, {_EVENTS_A_TASK} events each; every one was recorded as ended"],
    )


def _round(stack: Stack, tasks: int) -> Round:
    stack.empty()
    recorder = stack.processes["recorder"]
    os.kill(recorder, signal.SIGSTOP)
    try:
        with stack.managed_worker():
            for _ in range(tasks // _BATCH_TASKS):
                answer = stack.http.post("/v1/tasks/batch", json={"tasks": [{"task_type": "noop"}] * _BATCH_TASKS})
                if answer.status_code != 202:
                    raise SystemExit(f"a batch was not accepted: {answer.text[:500]}")
            stack.wait(lambda: stack.stream_length() >= _EVENTS_A_TASK * tasks, "the reports of all tasks")
    finally:
        os.kill(recorder, signal.SIGCONT)
    # It leads again only after a moment, so the first that it has recorded start the clock.
    first = _when_ended(stack, 1)
    last = _when_ended(stack, tasks)
    moved = last.ended - first.ended
    return {
        "tasks_per_second": moved / (last.at - first.at),
        "recorder_cpu_us": (last.cpu["recorder"] - first.cpu["recorder"]) / moved * 1e6,
        "postgres_cpu_us": (last.cpu["postgres"] - first.cpu["postgres"]) / moved * 1e6,
    }


class _Seen:
    """How far the recorder is at a moment."""

    def __init__(self, stack: Stack) -> None:
        self.ended = stack.ended()
        self.at = time.monotonic()
        self.cpu = stack.cpu_seconds()


def _when_ended(stack: Stack, tasks: int) -> _Seen:
    deadline = time.monotonic() + 60.0
    while (seen := _Seen(stack)).ended < tasks:
        if time.monotonic() > deadline:
            raise SystemExit(f"after a minute only {seen.ended} of {tasks} tasks are recorded as ended")
        time.sleep(_LOOK_SECONDS)
    return seen
