"""How many no-op tasks a second four worker processes finish, beside bare Celery on the same Valkey.

Ours counts a task when its row is recorded as ended, so gate, report and recorder are in the figure. Bare Celery with
results counts when its result can be read, and sends its task events to nobody; without results, when its message has
left the queue.
"""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.benchmark.bare_celery import bare_app, fill
from tests.benchmark.report import Report, Round
from tests.benchmark.stack import PREFETCH_MULTIPLIER, Stack

_KWARGS = {"user_id": 4217, "template": "reminder", "to": "a@example.org"}
_OURS = "pointsman"
_BATCH_TASKS = 500
_STEADY = (0.1, 0.9)
"""The part of the tasks whose time counts: workers are warm by the first, and none idles before the last."""
_LOOK_SECONDS = 0.1
_LONGEST_SECONDS = 180.0


def run(quick: bool) -> Report:
    """Three rounds of 1,500 tasks a side, or five of 10,000."""
    rounds, tasks = (3, 1500) if quick else (5, 10_000)
    with Stack() as stack:
        bench = _Drain(stack, tasks)
        found = [bench.round(number) for number in range(rounds)]
    return Report(
        name="drain",
        rounds=found,
        rates=[_OURS, "celery_results_events", "celery_bare"],
        compared={
            "pointsman_vs_celery_results_events": (_OURS, "celery_results_events"),
            "pointsman_vs_celery_bare": (_OURS, "celery_bare"),
        },
        targets={"pointsman_vs_celery_results_events": 0.9},
        generator=None,
        notes=[
            f"{tasks:,} tasks a side and round, concurrency 4, prefetch multiplier {PREFETCH_MULTIPLIER}",
            f"a rate is of the time between {_STEADY[0]:.0%} and {_STEADY[1]:.0%} of the tasks",
            "every task of ours was recorded as ended in PostgreSQL",
        ],
    )


@dataclass(frozen=True)
class _Look:
    at: float
    ended: int
    cpu_seconds: dict[str, float]


class _Drain:
    def __init__(self, stack: Stack, tasks: int) -> None:
        self._stack = stack
        self._tasks = tasks
        self._sender = bare_app(stack.bare_url, results=False)

    def round(self, number: int) -> Round:
        """Every side once, in another order each round."""
        sides: list[Callable[[], Round]] = [self._managed, self._bare_with_results, self._bare]
        found: Round = {}
        for turn in range(len(sides)):
            self._stack.empty()
            found |= sides[(number + turn) % len(sides)]()
        return found

    def _managed(self) -> Round:
        task = {"task_type": "noop", "kwargs": _KWARGS}
        for start in range(0, self._tasks, _BATCH_TASKS):
            count = min(_BATCH_TASKS, self._tasks - start)
            answer = self._stack.http.post("/v1/tasks/batch", content=json.dumps({"tasks": [task] * count}))
            if answer.status_code != 202:
                raise SystemExit(f"a batch was not accepted: {answer.text[:500]}")
        found = self._watch(_OURS, self._stack.managed_worker(), self._stack.ended)
        if self._stack.ended() != self._tasks or self._stack.stored() != self._tasks:
            raise SystemExit("tasks were lost or recorded twice")
        return found

    def _bare_with_results(self) -> Round:
        fill(self._sender, self._stack.bare_redis, self._tasks, _KWARGS)
        results = self._stack.bare_redis
        before = results.dbsize()
        # Each result is one key; what the worker itself adds is a handful, and the same at both looks.
        return self._watch(
            "celery_results_events",
            self._stack.bare_worker(results_and_events=True),
            lambda: results.dbsize() - before,
        )

    def _bare(self) -> Round:
        fill(self._sender, self._stack.bare_redis, self._tasks, _KWARGS)
        return self._watch(
            "celery_bare",
            self._stack.bare_worker(results_and_events=False),
            lambda: self._tasks - int(self._stack.bare_redis.llen("celery")),
        )

    def _watch(self, name: str, worker: AbstractContextManager[None], ended: Callable[[], int]) -> Round:
        with worker:
            first = self._look_until(_STEADY[0], ended)
            last = self._look_until(_STEADY[1], ended)
            self._look_until(1.0 if name == _OURS else _STEADY[1], ended)
        tasks = last.ended - first.ended
        cpu = {
            f"{name}_{part}_cpu_us": round(1e6 * (seconds - first.cpu_seconds[part]) / tasks, 1)
            for part, seconds in last.cpu_seconds.items()
        }
        return {name: tasks / (last.at - first.at)} | cpu

    def _look_until(self, share: float, ended: Callable[[], int]) -> _Look:
        deadline = time.monotonic() + _LONGEST_SECONDS
        while (count := ended()) < share * self._tasks:
            if time.monotonic() > deadline:
                raise SystemExit(f"after {_LONGEST_SECONDS:.0f} s only {count} of {self._tasks} tasks have ended")
            time.sleep(_LOOK_SECONDS)
        return _Look(time.monotonic(), count, self._stack.cpu_seconds())
