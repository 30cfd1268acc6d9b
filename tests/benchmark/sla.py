"""The queue wait of critical tasks while 20,000 others wait that sleep 50 ms each, in maintenance and reports.

The worker pools are the default ones. One round: what counts is that the backlog stands behind the whole minute. It is
purged at the end, not drained.
"""

import json
import time

from tests.benchmark.load import paced
from tests.benchmark.report import Report
from tests.benchmark.stack import Stack

_CRITICAL_RATE = 20.0
_BACKLOG_QUEUES = ("maintenance", "reports")
_SLEEP_SECONDS = 0.05
_BATCH_TASKS = 500
_LONGEST_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_CRITICAL = {"task_type": "noop", "queue": "critical"}


def run(quick: bool) -> Report:
    """20,000 waiting and a minute of critical tasks; 4,000 and 10 s when quick."""
    backlog, seconds = (4_000, 10.0) if quick else (20_000, 60.0)
    with Stack() as stack, stack.pools():
        stack.empty()
        for queue in _BACKLOG_QUEUES:
            _submit(stack, queue, backlog // len(_BACKLOG_QUEUES))
        url = f"{stack.api_url}/v1/tasks"
        (*_, load) = paced(url, json.dumps(_CRITICAL).encode(), _CRITICAL_RATE, seconds)
        waits = _queue_waits(stack, load.answered)
        left = stack.database.value("SELECT count(*) FROM task_live WHERE queue <> 'critical'")
        if not left:
            raise SystemExit("the backlog was gone before the critical tasks were")
        stack.empty()
    spread = {
        "p50": waits[len(waits) // 2],
        "p99": waits[len(waits) * 99 // 100],
        "max": waits[-1],
    }
    names = [f"critical_queue_wait_{figure}_seconds" for figure in spread]
    return Report(
        name="sla",
        rounds=[dict(zip(names, spread.values(), strict=True)) | {"critical_tasks": len(waits), "backlog_left": left}],
        shown=names,
        unit="seconds",
        at_most={"critical_queue_wait_p99_seconds": 0.25},
        generator={"name": "a Python generator at a fixed rate", "rate": _CRITICAL_RATE},
        notes=[
            f"{backlog:,} tasks of {_SLEEP_SECONDS:g} s waited in {' and '.join(_BACKLOG_QUEUES)}; {left:,} at the end",
            f"{len(waits):,} critical tasks, {_CRITICAL_RATE:.0f} a second; all ran and were recorded",
        ],
    )


def _submit(stack: Stack, queue: str, tasks: int) -> None:
    for start in range(0, tasks, _BATCH_TASKS):
        one = {"task_type": "sleep", "args": [_SLEEP_SECONDS], "queue": queue}
        answer = stack.http.post("/v1/tasks/batch", json={"tasks": [one] * min(_BATCH_TASKS, tasks - start)})
        if answer.status_code != 202:
            raise SystemExit(f"a batch was not accepted: {answer.text[:500]}")


def _queue_waits(stack: Stack, tasks: int) -> list[float]:
    """Sorted. Raises SystemExit when a critical task has not ended a minute after the last was submitted."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    ended: list[float] = []
    while len(ended) < tasks:
        if time.monotonic() > deadline:
            raise SystemExit(f"only {len(ended)} of {tasks} critical tasks have ended")
        time.sleep(_LOOK_SECONDS)
        ended = stack.database.column("SELECT queue_wait_seconds FROM task WHERE queue = 'critical'")
    return sorted(map(float, ended))
