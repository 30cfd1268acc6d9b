"""Everything at 60 % of the most it does, for half an hour: intake, dispatch, four worker processes, recording.

The most is what comes out at the other end when a little more than that is submitted, each task by a request of its
own. After that the load is open and steady, and every figure should be a flat line. The lines are drawn to a PNG.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmark.drawing import Panel, draw
from tests.benchmark.intake import BODY, TASK
from tests.benchmark.load import paced
from tests.benchmark.process import cpu_seconds, family
from tests.benchmark.report import Report, Round
from tests.benchmark.stack import SERVICE, Stack

_SHARE = 0.6
_WARM_UP_SECONDS = 5.0
_CALIBRATION_SECONDS = 15.0
_TRIALS = 3
_A_LITTLE_MORE = 1.1
_UNFINISHED = 1_000
_BATCH_TASKS = 100
_INTERVALS = 60
"""Points of a line."""
_LONGEST_SECONDS = 120.0
_LOOK_SECONDS = 0.05
_MEASURED = (*SERVICE, "worker", "postgres", "valkey")
_FLAT = ("finished", "p99_ms", *(f"{name}_mb" for name in _MEASURED))
_DEAD = "SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables"


def run(minutes: float, png: Path) -> Report:
    """Sixty intervals, each a round of the report."""
    with Stack() as stack, stack.managed_worker():
        most = _most(stack)
        stack.empty()
        rate = _SHARE * most
        found: list[Round] = []
        seconds = 60 * minutes
        accepted = 0
        begun = time.monotonic()
        for interval in paced(f"{stack.api_url}/v1/tasks", BODY, rate, seconds, seconds / _INTERVALS):
            if interval.is_whole:
                accepted = interval.answered
                break
            found.append(_look(stack, time.monotonic() - begun, found[-1:]) | {"p99_ms": interval.p99_ms})
        _wait_for_the_end(stack, accepted)
    draw(png, f"{rate:.0f} tasks a second for {minutes:g} minutes", found, _panels())
    first, second = found[: len(found) // 2], found[len(found) // 2 :]
    flat = {f"{name}_flat": round(_half(first, name) / _half(second, name), 3) for name in _FLAT}
    return Report(
        name="soak",
        rounds=found,
        shown=[
            "finished",
            "p99_ms",
            *(f"{name}_mb" for name in _MEASURED),
            "postgres_shared_mb",
            "dead_rows",
            "stream",
            "unfinished",
        ],
        unit="of an interval",
        at_most={"api_mb": 200},
        over_rounds=flat,
        notes=[
            f"the most it did: {most:.0f} tasks a second; {_SHARE:.0%} of it, {rate:.0f}, for {minutes:g} minutes",
            f"{accepted:,} tasks were answered 202; all of them ended and were recorded",
            "a ratio is the first half against the second; 1 is flat",
            f"drawn to {png}",
        ],
    )


def _panels() -> list[Panel]:
    return [
        Panel("finished, a second", ["finished"]),
        Panel("202, p99 ms", ["p99_ms"]),
        Panel("memory, MB", [*(f"{name}_mb" for name in _MEASURED), "postgres_shared_mb"]),
        Panel("CPU, cores", [f"{name}_cores" for name in _MEASURED]),
        Panel("dead rows", ["dead_rows"]),
        Panel("event stream, and tasks unfinished", ["stream", "unfinished"]),
    ]


def _half(rounds: Sequence[Round], name: str) -> float:
    return sum(one[name] for one in rounds) / len(rounds)


def _most(stack: Stack) -> float:
    """Tasks a second that end under the load of the soak itself.

    Too much of it takes the worker's share of the machine for intake, so each trial asks for little more than the one
    before could end.
    """
    rate, most = _in_batches(stack), 0.0
    for _ in range(_TRIALS):
        ended = _sustained(stack, rate)
        if ended == 0:
            raise SystemExit(f"no task ended in {_CALIBRATION_SECONDS:.0f} s")
        most = max(most, ended)
        rate = _A_LITTLE_MORE * ended
    return most


def _in_batches(stack: Stack) -> float:
    """Tasks a second that end while a thousand are always under way: where to begin."""
    stack.empty()
    submitted = 0
    begun = time.monotonic()
    while time.monotonic() < begun + _CALIBRATION_SECONDS:
        if submitted - stack.ended() < _UNFINISHED:
            answer = stack.http.post("/v1/tasks/batch", json={"tasks": [TASK] * _BATCH_TASKS})
            if answer.status_code != 202:
                raise SystemExit(f"a batch was not accepted: {answer.text[:500]}")
            submitted += _BATCH_TASKS
        else:
            time.sleep(_LOOK_SECONDS)
    ended = stack.ended() / (time.monotonic() - begun)
    _wait_for_the_end(stack, submitted)
    return max(ended, 1.0)


def _sustained(stack: Stack, rate: float) -> float:
    """Tasks a second that end while so many are submitted, after a warm-up."""
    stack.empty()
    accepted, warm = 0, (0.0, 0)
    begun = time.monotonic()
    ended = 0.0
    seconds = _WARM_UP_SECONDS + _CALIBRATION_SECONDS
    for interval in paced(f"{stack.api_url}/v1/tasks", BODY, rate, seconds, _WARM_UP_SECONDS):
        if interval.is_whole:
            accepted = interval.answered
            break
        now, so_far = time.monotonic() - begun, stack.ended()
        if warm[0] == 0.0:
            warm = now, so_far
        else:
            ended = (so_far - warm[1]) / (now - warm[0])
    _wait_for_the_end(stack, accepted)
    return ended


def _look(stack: Stack, at: float, last: Sequence[Round]) -> Round:
    seconds = at - (60 * last[0]["minute"] if last else 0.0)
    ended = float(stack.ended())
    found: Round = {
        "minute": at / 60,
        "ended": ended,
        "finished": (ended - (last[0]["ended"] if last else 0.0)) / seconds,
        "unfinished": float(stack.database.count("task_live")),
        "dead_rows": float(stack.database.value(_DEAD)),
        "stream": float(stack.stream_length()),
    }
    for name in _MEASURED:
        found[f"{name}_mb"] = _megabytes(stack.processes[name])
        taken = found[f"{name}_cpu_seconds"] = cpu_seconds(stack.processes[name])
        found[f"{name}_cores"] = (taken - last[0][f"{name}_cpu_seconds"]) / seconds if last else 0.0
    # What the backends share is the buffer cache, and it fills up to shared_buffers whatever they do.
    found["postgres_shared_mb"] = found["postgres_mb"] - _own_megabytes(stack.processes["postgres"])
    found["postgres_mb"] -= found["postgres_shared_mb"]
    return found


def _megabytes(pid: int) -> float:
    """Of a process and its children, each counting what it shares with others by its share."""
    return sum(one.memory_full_info().pss for one in family(pid)) / 1e6


def _own_megabytes(pid: int) -> float:
    """Of a process and its children, without what any of them shares."""
    return sum(one.memory_full_info().uss for one in family(pid)) / 1e6


def _wait_for_the_end(stack: Stack, tasks: int) -> None:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while stack.ended() < tasks:
        if time.monotonic() > deadline:
            raise SystemExit(f"{stack.ended()} of {tasks} tasks have ended")
        time.sleep(_LOOK_SECONDS)
