"""How often predicted waits hold, over tens of thousands of tasks of mixed, changing load on real workers.

Every queue has two nodes. Rates, run times and priorities change every half minute or so, bursts come in between, and
now and then more comes than is done. What every task was told when it was submitted is kept by the installation itself
(``POINTSMAN_PREDICTION_SAMPLES_A_SECOND``) and compared with its start; nothing is told to the predictor.

With ``--fault`` one node of each queue is killed in the midst, without warning, and at the end the others.
"""

import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from pointsman_contract.nodes import worker_words
from pointsman_contract.queues import PoolSpec
from tests.benchmark.process import Process
from tests.benchmark.report import Report, Round
from tests.benchmark.stack import Stack

_SEED = 1
_TICK_SECONDS = 0.1
_POOLS = (
    PoolSpec(name="urgent", queues=("critical", "high_priority"), processes=2),
    PoolSpec(name="email", queues=("email",), processes=1),
    PoolSpec(name="maintenance", queues=("maintenance",), processes=2),
)
_NODES = 2
"""Of each pool."""
_BAND = 0.92
_NEXT = 200
"""So many tasks after the fault are looked at."""
_SETTLE_SECONDS = 60.0
_REASON_SECONDS = 30.0
_SAMPLES = "1000"
_BATCH_TASKS = 500


class _Kind(NamedTuple):
    """What comes to one queue."""

    queue: str
    processes: int
    """That it may have at most."""
    run_seconds: float
    """Mean."""
    spread: float
    """Of the logarithm of the run time."""
    priorities: Sequence[int]
    shares: Sequence[float]
    """Of its processes, from which a phase draws one: above 1 more comes than is done."""


_KINDS = (
    _Kind("critical", 4, 0.05, 0.6, (10,), (0.1, 0.2, 0.3, 0.4)),
    _Kind("high_priority", 4, 0.08, 0.8, (8, 8, 9), (0.1, 0.2, 0.4, 0.6)),
    _Kind("email", 2, 0.12, 0.4, (7,), (0.2, 0.5, 0.8, 0.9, 1.1)),
    _Kind("maintenance", 4, 0.15, 1.0, (1, 3, 3, 5), (0.2, 0.5, 0.8, 0.9, 1.1)),
)


class _Task(NamedTuple):
    at: float
    queue: str
    priority: int
    run_seconds: float


def load(seconds: float, seed: int, calm: float = 1.0) -> list[_Task]:
    """What is submitted when; ``calm`` below 1 takes that part of every rate."""
    chance = random.Random(seed)
    tasks: list[_Task] = []
    for kind in _KINDS:
        at = 0.0
        while at < seconds:
            end = at + chance.uniform(20, 50)
            mean = kind.run_seconds * chance.choice((0.7, 1.0, 1.4))
            rate = calm * chance.choice(kind.shares) * kind.processes / mean
            moment = at + chance.expovariate(rate)
            while moment < min(end, seconds):
                tasks.append(_task(kind, moment, mean, chance))
                moment += chance.expovariate(rate)
            at = end
        for _ in range(int(seconds / 60)):
            moment = chance.uniform(0, seconds * 0.9)
            many = int(calm * chance.uniform(5, 30) * kind.processes)
            tasks += [_task(kind, moment, kind.run_seconds, chance) for _ in range(many)]
    return sorted(tasks)


def _task(kind: _Kind, at: float, mean: float, chance: random.Random) -> _Task:
    run_seconds = mean * chance.lognormvariate(-(kind.spread**2) / 2, kind.spread)
    return _Task(at, kind.queue, chance.choice(kind.priorities), round(min(run_seconds, 20 * mean), 4))


def run(quick: bool, fault: bool) -> Report:
    """Seven minutes of load; one and a half when quick."""
    seconds = 90.0 if quick else 420.0
    with Stack(variables={"POINTSMAN_PREDICTION_SAMPLES_A_SECOND": _SAMPLES}) as stack, _nodes(stack) as nodes:
        stack.wait(lambda: len(stack.living_nodes()) >= _NODES * len(_POOLS), "the nodes")
        stack.wait(lambda: _reasons(stack) == {None}, "the first predictions")
        # Half of the processes must be enough, or all that is left is a queue that grows.
        died_at = _submit(stack, load(seconds, _SEED, 0.5 if fault else 1.0), nodes, seconds * 0.6 if fault else None)
        _wait_until_settled(stack)
        figures = _figures(stack)
        by_queue = _by_queue(stack)
        if died_at is not None:
            figures |= _after(stack, died_at)
            figures["null_reason_seconds"] = _until_unsaid(stack, nodes)
    shown = [name for name in figures if not name.startswith("_")]
    return Report(
        name="predict",
        rounds=[figures],
        shown=shown,
        unit="shares and seconds",
        between={"within_p95": (_BAND, 0.98), "within_p50": (0.4, 0.6)}
        if not fault
        else {"next_200_within_p95": (0.8, 1.0)},
        at_most={"back_in_band_seconds": 120.0, "null_reason_seconds": 5.0} if fault else {},
        notes=[
            f"{figures['tasks']:,.0f} tasks in {seconds:.0f} s of load; each was told its wait when it was submitted",
            *by_queue,
            *(
                ["one of two nodes of each queue was killed at 60 % of the load, the others at its end"]
                if fault
                else []
            ),
        ],
    )


@contextmanager
def _nodes(stack: Stack) -> Iterator[list[Process]]:
    with ExitStack() as exits:
        yield [
            exits.enter_context(stack.expendable(f"worker_{pool.name}_{number}", worker_words(pool, number)))
            for number in range(1, _NODES + 1)
            for pool in _POOLS
        ]


def _submit(stack: Stack, tasks: Sequence[_Task], nodes: Sequence[Process], fault_at: float | None) -> float | None:
    """Submit each when its time comes, those of a tenth of a second in one request. Answers when nodes were killed, by
    the clock of the database.
    """
    since, place, died_at = time.monotonic(), 0, None
    while place < len(tasks):
        now = time.monotonic() - since
        if fault_at is not None and died_at is None and now >= fault_at:
            died_at = float(stack.database.value("SELECT extract(epoch FROM now())"))
            for node in nodes[: len(_POOLS)]:
                node.kill()
        end = place
        while end < len(tasks) and tasks[end].at <= now and end - place < _BATCH_TASKS:
            end += 1
        if end > place:
            items = [
                {"task_type": "sleep", "args": [one.run_seconds], "queue": one.queue, "priority": one.priority}
                for one in tasks[place:end]
            ]
            answer = stack.http.post("/v1/tasks/batch", json={"tasks": items})
            if answer.status_code != 202:
                raise SystemExit(f"a batch was not accepted: {answer.text[:500]}")
            place = end
        time.sleep(max(0.0, _TICK_SECONDS - (time.monotonic() - since - now)))
    return died_at


def _wait_until_settled(stack: Stack) -> None:
    """What has not started by then has missed its p95, or is too young to tell."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < deadline and stack.database.value(
        "SELECT count(*) FROM prediction WHERE settled_at IS NULL"
    ):
        time.sleep(0.5)


_COMPARED = """
    SELECT submitted_at, queue, waited_seconds <= p50_seconds AS below,
        coalesce(late_at IS NULL AND waited_seconds <= p95_seconds, false) AS within,
        abs(waited_seconds - p50_seconds) AS error
    FROM prediction WHERE waited_seconds IS NOT NULL OR late_at IS NOT NULL
"""


def _figures(stack: Stack) -> Round:
    value = stack.database.value
    told = stack.http.get("/v1/metrics/predictions", params={"window_seconds": 3600}).json()["totals"]
    return {
        "within_p95": float(value(f"SELECT avg(within::int) FROM ({_COMPARED}) AS c")),
        "within_p50": float(value(f"SELECT avg(coalesce(below, false)::int) FROM ({_COMPARED}) AS c")),
        "tasks": float(value(f"SELECT count(*) FROM ({_COMPARED}) AS c")),
        "median_error_seconds": float(
            value(f"SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY error) FROM ({_COMPARED}) AS c")
        ),
        "told_within_p95": float(told["within_p95"]),
        "told_tasks": float(told["compared"]),
        "back_in_band_seconds": 0.0,
    }


def _by_queue(stack: Stack) -> list[str]:
    queues: list[str] = stack.database.column(f"SELECT DISTINCT queue FROM ({_COMPARED}) AS c ORDER BY queue")
    lines = []
    for queue in queues:
        where = f"FROM ({_COMPARED}) AS c WHERE queue = $1"
        shares = [
            float(stack.database.value(f"SELECT avg(coalesce({name}, false)::int) {where}", queue))
            for name in ("below", "within")
        ]
        waits = "SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY waited_seconds) FROM prediction WHERE queue = $1"
        longest = float(stack.database.value(waits, queue) or 0.0)
        tasks = stack.database.value(f"SELECT count(*) {where}", queue)
        held = f"{shares[0]:.1%} within p50, {shares[1]:.1%} within p95"
        lines.append(f"{queue}: {tasks:,} tasks, {held}; the p95 of their waits was {longest:.2f} s")
    return lines


def _after(stack: Stack, died_at: float) -> Round:
    """Of the tasks that were submitted after the fault, in their order."""
    where = f"FROM ({_COMPARED}) AS c WHERE submitted_at >= to_timestamp($1) ORDER BY submitted_at"
    within = [bool(one) for one in stack.database.column(f"SELECT within {where}", died_at)]
    moments = stack.database.column(f"SELECT extract(epoch FROM submitted_at)::float8 - $1 {where}", died_at)
    back = float("inf")
    for start in range(max(0, len(within) - _NEXT)):
        if statistics.fmean(within[start : start + _NEXT]) >= _BAND:
            back = float(moments[start])
            break
    return {"next_200_within_p95": statistics.fmean(within[:_NEXT]), "back_in_band_seconds": back}


def _reasons(stack: Stack) -> set[Any]:
    items = stack.http.get("/v1/queues").json()["items"]
    queues = {queue for pool in _POOLS for queue in pool.queues}
    return {queue["predicted_wait"]["reason"] for queue in items if queue["name"] in queues}


def _until_unsaid(stack: Stack, nodes: Sequence[Process]) -> float:
    """Seconds from when the last nodes are killed until no queue has a prediction."""
    for node in nodes:
        node.kill()
    since = time.monotonic()
    while None in _reasons(stack):
        if time.monotonic() - since > _REASON_SECONDS:
            raise SystemExit("nothing lives, and waits are predicted still")
        time.sleep(0.05)
    return time.monotonic() - since
