"""How many no-op tasks a second a worker of concurrency 4 finishes, beside bare Celery on the same Valkey and
Procrastinate on the same PostgreSQL.

Ours counts a task when its row is recorded as ended, so gate, report and recorder are in the figure. Bare Celery with
results counts when its result can be read, and sends its task events to nobody; without results, when its message has
left the queue.
"""

import json
import os
import signal
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from redis import Redis

from tests.benchmark.database import Database
from tests.benchmark.intake import TASK
from tests.benchmark.peers import running, tables
from tests.benchmark.peers.bare_celery import bare_app, fill
from tests.benchmark.report import Report, Round
from tests.benchmark.rounds import in_turn, play
from tests.benchmark.stack import PREFETCH_MULTIPLIER, SERVICE, Node, Stack

_KWARGS = {"user_id": 4217, "template": "reminder", "to": "a@example.org"}
_BATCH_TASKS = 500
_STEADY = (0.1, 0.9)
"""The part of the tasks whose time counts: workers are warm by the first, and none idles before the last."""
_LOOK_SECONDS = 0.1
_LONGEST_SECONDS = 180.0
COMPARED = {
    f"pointsman_vs_{peer}": ("pointsman", peer) for peer in ("celery_bare", "celery_results_events", "procrastinate")
}
"""Name of a ratio to the figures it divides."""


def run(quick: bool) -> Report:
    """Many short turns, because a busy machine changes from second to second: 5 rounds of 600 tasks a side, or 12 of
    3,000.
    """
    rounds, tasks = (5, 600) if quick else (12, 3000)
    with ExitStack() as exits:
        stack = exits.enter_context(Stack())
        managed = Managed(stack, tasks, exits.enter_context(stack.managed_worker()))
        storing = exits.enter_context(stack.bare_worker("storing_worker", 1, results=3))
        ignoring = exits.enter_context(stack.bare_worker("ignoring_worker", 2))
        environment, database = exits.enter_context(running.procrastinate_schema(stack))
        exits.enter_context(running.procrastinate_worker(stack, environment))
        sides: list[_Side] = [
            managed,
            _BareWithResults(stack, tasks, storing, 1, 3),
            _Bare(stack, tasks, ignoring, 2),
            _Procrastinate(stack, tasks, StoppedNode(stack.processes["procrastinate"]), database),
        ]
        for side in sides:
            side.drain()
        found = play(lambda number: in_turn([side.drain for side in sides], number), rounds)
    names = [side.name for side in sides]
    cpu = [f"{name} {statistics.median(one[f'{name}_cpu_us'] for one in found):,.0f}" for name in names]
    return Report(
        name="drain",
        rounds=found,
        shown=names,
        unit="tasks a second",
        compared=COMPARED,
        at_least={"pointsman_vs_celery_results_events": 1.2, "pointsman_vs_celery_bare": 1.0},
        notes=[
            f"{tasks:,} tasks a side and round, concurrency 4, prefetch multiplier {PREFETCH_MULTIPLIER}",
            f"a rate is of the time between {_STEADY[0]:.0%} and {_STEADY[1]:.0%} of the tasks",
            f"CPU time a task in µs, of all processes that work for a side: {', '.join(cpu)}",
            "every task of ours was recorded as ended in PostgreSQL",
        ],
    )


class StoppedNode:
    """A worker without a remote control: its process is stopped and continued."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def pause(self) -> None:
        """Do nothing until ``resume``."""
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on."""
        os.kill(self._pid, signal.SIGCONT)


@dataclass(frozen=True)
class _Look:
    at: float
    ended: int
    cpu_seconds: dict[str, float]


class _Side(ABC):
    """One of those compared; its worker node waits, warm, while the others have their turn."""

    name: str
    parts: frozenset[str]
    """The processes that work for it; the others are idle in its turn."""

    def __init__(self, stack: Stack, tasks: int, node: Node | StoppedNode) -> None:
        self._stack = stack
        self._tasks = tasks
        self._node = node
        node.pause()

    def drain(self) -> Round:
        """Fill the queue, let the node fetch, and watch."""
        self._empty()
        self._fill()
        self._node.resume()
        first = self._look_until(_STEADY[0])
        last = self._look_until(_STEADY[1])
        self._look_until(1.0)
        self._node.pause()
        tasks = last.ended - first.ended
        cpu = {
            f"{self.name}_{part}_cpu_us": round(1e6 * (seconds - first.cpu_seconds[part]) / tasks, 1)
            for part, seconds in last.cpu_seconds.items()
        }
        whole = sum(cpu[f"{self.name}_{part}_cpu_us"] for part in self.parts)
        return {self.name: tasks / (last.at - first.at), f"{self.name}_cpu_us": round(whole, 1)} | cpu

    def _look_until(self, share: float) -> _Look:
        deadline = time.monotonic() + _LONGEST_SECONDS
        while (count := self._ended()) < share * self._tasks:
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"{self.name}: after {_LONGEST_SECONDS:.0f} s only {count} of {self._tasks} tasks have ended"
                )
            time.sleep(_LOOK_SECONDS)
        return _Look(time.monotonic(), count, self._stack.cpu_seconds())

    @abstractmethod
    def _empty(self) -> None:
        """Forget the round before."""

    @abstractmethod
    def _fill(self) -> None:
        """Put the tasks into the queue."""

    @abstractmethod
    def _ended(self) -> int:
        """How many have ended."""


class Managed(_Side):
    """Ours, with the task that it is given."""

    name = "pointsman"
    parts = frozenset({"postgres", "valkey", "worker", *SERVICE})

    def __init__(self, stack: Stack, tasks: int, node: Node, task: Mapping[str, object] = TASK) -> None:
        super().__init__(stack, tasks, node)
        self._task = task

    def drain(self) -> Round:
        """Raises SystemExit when a task is missing or there is one too many."""
        found = super().drain()
        if self._stack.stored() != self._tasks:
            raise SystemExit(f"{self._tasks} tasks were submitted, {self._stack.stored()} are stored")
        return found

    def _empty(self) -> None:
        self._stack.empty()

    def _fill(self) -> None:
        for start in range(0, self._tasks, _BATCH_TASKS):
            count = min(_BATCH_TASKS, self._tasks - start)
            body = {"tasks": [self._task] * count}
            answer = self._stack.http.post("/v1/tasks/batch", json=body)
            if answer.status_code != 202:
                raise SystemExit(f"a batch was not accepted: {answer.text[:500]}")

    def _ended(self) -> int:
        return self._stack.ended()


class _Bare(_Side):
    """Plain Celery, results ignored."""

    name = "celery_bare"
    parts = frozenset({"valkey", "ignoring_worker"})

    def __init__(self, stack: Stack, tasks: int, node: Node, database: int) -> None:
        super().__init__(stack, tasks, node)
        url = stack.bare_url(database)
        self._redis = Redis.from_url(url)
        self._sender = bare_app(url)

    def _empty(self) -> None:
        self._redis.delete("celery")

    def _fill(self) -> None:
        fill(self._sender, self._redis, self._tasks, _KWARGS)

    def _ended(self) -> int:
        return self._tasks - int(self._redis.llen("celery"))


class _BareWithResults(_Bare):
    """Plain Celery, results in Redis, task events sent and read by nobody."""

    name = "celery_results_events"
    parts = frozenset({"valkey", "storing_worker"})

    def __init__(self, stack: Stack, tasks: int, node: Node, database: int, results: int) -> None:
        super().__init__(stack, tasks, node, database)
        self._results = Redis.from_url(stack.bare_url(results))

    def _empty(self) -> None:
        super()._empty()
        self._results.flushdb()

    def _ended(self) -> int:
        # Nothing else is kept in the database of the results.
        return int(self._results.dbsize())


class _Procrastinate(_Side):
    """Procrastinate's worker, one process with four coroutines."""

    name = "procrastinate"
    parts = frozenset({"postgres", "procrastinate"})

    def __init__(self, stack: Stack, tasks: int, node: StoppedNode, database: Database) -> None:
        super().__init__(stack, tasks, node)
        self._database = database

    def _empty(self) -> None:
        self._database.execute(f"TRUNCATE {tables.PROCRASTINATE} CASCADE")
        self._database.execute("CHECKPOINT")

    def _fill(self) -> None:
        self._database.execute(tables.PROCRASTINATE_FILL, json.dumps(_KWARGS), self._tasks)

    def _ended(self) -> int:
        return int(self._database.value(f"SELECT count(*) FROM {tables.PROCRASTINATE} WHERE status = 'succeeded'"))
