"""The queue wait of ten tasks of one caller while 100,000 of another wait in the same queue, beside that of ten alone.

Four processes, tasks of half a second. What counts is that the backlog stands behind every round; it is not drained.
"""

import time

import httpx

from tests.benchmark.report import Report
from tests.benchmark.stack import OWN_PREFETCH_MULTIPLIER, QUEUE, Stack

_SLEEP_SECONDS = 0.5
_BATCH_TASKS = 500
_TEN = 10
_LONGEST_SECONDS = 120.0
_LOOK_SECONDS = 0.2
_PAUSE_SECONDS = 6.0
"""Between two tens. Without it they are one long row of tasks, and who asks for more than its share waits for it."""


def run(quick: bool) -> Report:
    """Ten tasks five times alone, then ten times beside 100,000; beside 10,000 when quick, and three times each."""
    backlog, alone_rounds, rounds = (10_000, 3, 3) if quick else (100_000, 5, 10)
    with Stack() as stack, stack.managed_worker(prefetch=OWN_PREFETCH_MULTIPLIER):
        stack.empty()
        keys = {name: _key(stack, name) for name in ("many", "few")}
        alone = _waits(stack, keys["few"], alone_rounds)
        stack.empty()
        _submit(stack, keys["many"], backlog)
        beside = _waits(stack, keys["few"], rounds)
        left = stack.database.value("SELECT count(*) FROM task_live WHERE caller = 'many'")
        ended = stack.database.value("SELECT count(*) FROM task WHERE caller = 'many'")
        stack.empty()
    if left < backlog / 2:
        raise SystemExit("the backlog was gone before the rounds were")
    found: dict[str, float] = {}
    for name, waits in (("alone", alone), ("beside", beside)):
        found |= {f"{name}_p50_seconds": waits[len(waits) // 2], f"{name}_p99_seconds": waits[len(waits) * 99 // 100]}
    return Report(
        name="fairness",
        rounds=[found | {"ratio_p99": found["beside_p99_seconds"] / found["alone_p99_seconds"]}],
        shown=[*found, "ratio_p99"],
        unit="seconds",
        at_most={"ratio_p99": 2.0},
        notes=[
            f"{backlog:,} tasks of {_SLEEP_SECONDS:g} s of the caller many: {ended:,} had ended, {left:,} had not",
            f"ten of the caller few, {alone_rounds} times alone and {rounds} times beside; all ended",
            f"each ten came {_PAUSE_SECONDS:g} s after the end of the one before",
            f"what workers hold goes before: {OWN_PREFETCH_MULTIPLIER} message a process, as pools have it by default",
        ],
    )


def _key(stack: Stack, name: str) -> httpx.Client:
    """A client with a key of its own."""
    answer = stack.http.post("/v1/keys", json={"name": name, "preset": "submitter"})
    answer.raise_for_status()
    headers = {"Authorization": f"Bearer {answer.json()['key']}"}
    return httpx.Client(base_url=stack.api_url, timeout=60, trust_env=False, headers=headers)


def _submit(stack: Stack, client: httpx.Client, tasks: int) -> None:
    for start in range(0, tasks, _BATCH_TASKS):
        one = {"task_type": "sleep", "args": [_SLEEP_SECONDS], "queue": QUEUE}
        answer = client.post("/v1/tasks/batch", json={"tasks": [one] * min(_BATCH_TASKS, tasks - start)})
        if answer.status_code != 202:
            raise SystemExit(f"a batch was not accepted: {answer.text[:500]}")


def _waits(stack: Stack, client: httpx.Client, rounds: int) -> list[float]:
    """Sorted, of tens that come one by one. Raises SystemExit when ten tasks have not ended two minutes after they were
    submitted.
    """
    ended: list[float] = []
    for number in range(1, rounds + 1):
        time.sleep(_PAUSE_SECONDS)
        _submit(stack, client, _TEN)
        deadline = time.monotonic() + _LONGEST_SECONDS
        while len(ended) < number * _TEN:
            if time.monotonic() > deadline:
                raise SystemExit(f"only {len(ended)} of {number * _TEN} tasks have ended")
            time.sleep(_LOOK_SECONDS)
            ended = stack.database.column("SELECT queue_wait_seconds FROM task WHERE caller = 'few'")
    return sorted(map(float, ended))
