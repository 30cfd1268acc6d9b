"""A worker node alone: how long it takes to its first task, and what its memory does over 100,000."""

import time

import psutil

from tests.benchmark.report import Report, Round
from tests.benchmark.stack import Stack

_BATCH_TASKS = 500
_STARTS = 3
_LONGEST_SECONDS = 600.0
_LOOK_SECONDS = 0.05


def run(quick: bool) -> Report:
    """Ten equal parts of 100,000 no-op tasks (of 20,000 when quick) on four processes; memory after each.

    Memory is what the parent and its children do not share with anybody (USS). The first two parts are for warming up.
    """
    part = 2_000 if quick else 10_000
    with Stack() as stack:
        starts = [_seconds_to_first_task(stack) for _ in range(_STARTS)]
        stack.empty()
        with stack.managed_worker():
            sizes = [_after(stack, part, number) for number in range(1, 11)]
    warm = sizes[1]
    rounds: list[Round] = [{"node_mb": size, "warm_node_mb": warm} for size in sizes[2:]]
    return Report(
        name="worker",
        rounds=rounds,
        shown=["node_mb", "warm_node_mb"],
        unit="MB",
        compared={"warm_vs_now": ("warm_node_mb", "node_mb")},
        at_least={"warm_vs_now": 0.95},
        notes=[
            f"a round is {part:,} tasks; figures are of one node with four processes",
            f"the last part against the second: {sizes[-1] / warm:.3f}",
            "from the start of a node of one process to its first task, seconds: "
            + ", ".join(f"{seconds:.2f}" for seconds in starts),
        ],
    )


def _seconds_to_first_task(stack: Stack) -> float:
    stack.empty()
    _submit(stack, 1)
    started = time.monotonic()
    with stack.managed_worker(processes=1):
        _wait_for(stack, 1)
        return time.monotonic() - started


def _after(stack: Stack, part: int, number: int) -> float:
    _submit(stack, part)
    _wait_for(stack, part * number)
    node = psutil.Process(stack.processes["worker"])
    used = sum(process.memory_full_info().uss for process in [node, *node.children(recursive=True)])
    return round(used / 1e6, 2)


def _submit(stack: Stack, tasks: int) -> None:
    for start in range(0, tasks, _BATCH_TASKS):
        body = {"tasks": [{"task_type": "noop"}] * min(_BATCH_TASKS, tasks - start)}
        answer = stack.http.post("/v1/tasks/batch", json=body)
        if answer.status_code != 202:
            raise SystemExit(f"a batch was not accepted: {answer.text[:500]}")


def _wait_for(stack: Stack, ended: int) -> None:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while stack.ended() < ended:
        if time.monotonic() > deadline:
            raise SystemExit(f"after {_LONGEST_SECONDS:.0f} s only {stack.ended()} of {ended} tasks have ended")
        time.sleep(_LOOK_SECONDS)
