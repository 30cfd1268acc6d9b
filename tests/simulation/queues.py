"""Queues before worker nodes in a world without servers, and the predictor that is really used beside them.

A node takes the next task of the first of its queues that has one, the most urgent and then the oldest first. The
predictor looks once a second, as the process that makes forecasts does; a task is told what was known when it was
submitted. Chance comes from a seed.
"""

import heapq
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from pointsman_service.observe.prediction.arrivals import Arrivals
from pointsman_service.observe.prediction.facts import BETWEEN_SECONDS, LATE_SECONDS
from pointsman_service.observe.prediction.flow import NOTHING, Load, Node, Work
from pointsman_service.observe.prediction.forecast import Forecast, Told, tell
from pointsman_service.observe.prediction.predictor import Predictor
from pointsman_service.observe.prediction.run_times import RunTimes
from pointsman_service.observe.prediction.samples import OVERDUE, without_done
from pointsman_service.observe.prediction.surprises import Key, Surprises
from pointsman_service.store.metrics.histogram import bucket_of
from pointsman_service.store.queues.ahead import Ahead

LOOK_SECONDS = 1.0
RESCUE_SECONDS = 12.0
"""Until what ran in a node that died is sent again."""
SEND_SECONDS = (0.008, 0.05)
"""From a submission to a process that is free: at least, at most."""
_REMEMBERED_SECONDS = 90.0
_UNKNOWN = Work(1.0, 0.1, 0.02)
"""What a task is taken for before one like it has run."""

RunTime = Callable[[random.Random], float]


@dataclass(frozen=True)
class Pool:
    """A node."""

    queues: tuple[str, ...]
    processes: int


@dataclass(frozen=True)
class Phase:
    """What comes to one queue for a while."""

    queue: str
    start: float
    end: float
    rate: float
    """Tasks a second, each by chance."""
    run: RunTime
    task_type: str
    priorities: Sequence[int]


@dataclass(frozen=True)
class Burst:
    """So many tasks at once."""

    queue: str
    at: float
    tasks: int
    run: RunTime
    task_type: str
    priority: int


@dataclass(eq=False)
class Task:
    """One task."""

    number: int
    queue: str
    priority: int
    task_type: str
    run_seconds: float
    submitted_at: float
    told: Told | None = None
    started_at: float | None = None
    is_late: bool = False


@dataclass(eq=False)
class _Worker:
    pool: Pool
    running: dict[int, tuple[Task, float]] = field(default_factory=dict)
    died_at: float | None = None


class Coverage(NamedTuple):
    """Of the predictions of some tasks."""

    tasks: int
    within_p50: float
    within_p95: float


class World:
    """Plays one story."""

    def __init__(self, pools: Sequence[Pool], seed: int, samples_a_second: int = 4) -> None:
        self._random = random.Random(seed)
        self._workers = [_Worker(pool) for pool in pools]
        self._names = sorted({queue for pool in pools for queue in pool.queues})
        self._waiting: dict[str, list[tuple[int, float, int, Task]]] = {name: [] for name in self._names}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._numbers = count()
        self._samples = samples_a_second
        self._sampled: Counter[str] = Counter()
        self._born: list[Task] = []
        self._arrivals = Arrivals()
        self._ended: defaultdict[tuple[str, str], deque[tuple[float, float]]] = defaultdict(deque)
        self._runs: dict[tuple[str, str], RunTimes | None] = {}
        self._forecast: Forecast | None = None
        self._looked_at = 0.0
        self._open: dict[int, Task] = {}
        self._predictor = Predictor()
        self._surprises = Surprises()
        self._believed: dict[Key, RunTimes] = {}
        self.now = 0.0
        self.told: list[Task] = []
        """Every task of the sample, in their order."""

    def play(
        self, phases: Sequence[Phase], bursts: Sequence[Burst], seconds: float, half_die_at: float | None = None
    ) -> None:
        """From the first submission to the end. ``half_die_at``: then every other node dies."""
        for phase in phases:
            moment = phase.start + self._random.expovariate(phase.rate)
            while moment < phase.end:
                self._at(moment, lambda phase=phase: self._submit_of(phase))  # type: ignore[misc]
                moment += self._random.expovariate(phase.rate)
        for burst in bursts:
            self._at(burst.at, lambda burst=burst: self._submit_all(burst))  # type: ignore[misc]
        if half_die_at is not None:
            self._at(half_die_at, self._let_half_die)
        self._at(0.0, self._look)
        while self._events:
            moment, _, act = heapq.heappop(self._events)
            if moment > seconds:
                break
            self.now = moment
            act()

    def coverage(self, tasks: Sequence[Task]) -> Coverage:
        """Those that are too young to tell are left out."""
        compared, within_p50, within_p95 = 0, 0, 0
        for task in tasks:
            assert task.told is not None
            p50, p95 = task.told.prediction.p50_seconds or 0.0, task.told.prediction.p95_seconds or 0.0
            if task.started_at is None and self.now - task.submitted_at <= p95:
                continue
            compared += 1
            if task.started_at is not None:
                within_p50 += task.started_at - task.submitted_at <= p50
                within_p95 += task.started_at - task.submitted_at <= p95
        return Coverage(compared, within_p50 / max(compared, 1), within_p95 / max(compared, 1))

    def _at(self, moment: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), act))

    def _submit_of(self, phase: Phase) -> None:
        priority = self._random.choice(phase.priorities)
        self._submit(phase.queue, priority, phase.task_type, phase.run(self._random))

    def _submit_all(self, burst: Burst) -> None:
        for _ in range(burst.tasks):
            self._submit(burst.queue, burst.priority, burst.task_type, burst.run(self._random))

    def _submit(self, queue: str, priority: int, task_type: str, run_seconds: float) -> None:
        task = Task(next(self._numbers), queue, priority, task_type, run_seconds, self.now)
        self._tell(task)
        self._born.append(task)
        self._at(self.now + self._random.uniform(*SEND_SECONDS), lambda: self._arrive(task))

    def _tell(self, task: Task) -> None:
        if self._forecast is None or self._sampled[task.queue] >= self._samples:
            return
        self._sampled[task.queue] += 1
        found = self._forecast.queues[task.queue]
        if found.line is None:
            return
        ahead = found.line.ahead[task.priority]
        for born in self._born:
            if born.queue == task.queue and born.priority >= task.priority:
                ahead = ahead.plus(self._work_of(born))
        told = tell(found, task.priority, without_done(ahead, found.line, self.now - self._looked_at))
        if told.flow is not None:
            task.told = told
            self.told.append(task)
            self._open[task.number] = task

    def _arrive(self, task: Task) -> None:
        heapq.heappush(self._waiting[task.queue], (-task.priority, task.submitted_at, task.number, task))
        self._serve()

    def _serve(self) -> None:
        for worker in self._workers:
            while worker.died_at is None and len(worker.running) < worker.pool.processes:
                queue = next((name for name in worker.pool.queues if self._waiting[name]), None)
                if queue is None:
                    break
                self._begin(worker, heapq.heappop(self._waiting[queue])[3])

    def _begin(self, worker: _Worker, task: Task) -> None:
        worker.running[task.number] = (task, self.now)
        task.started_at = task.started_at or self.now
        self._at(self.now + task.run_seconds + BETWEEN_SECONDS, lambda: self._end(worker, task))

    def _end(self, worker: _Worker, task: Task) -> None:
        if worker.died_at is None and worker.running.pop(task.number, None) is not None:
            self._ended[task.task_type, task.queue].append((self.now, task.run_seconds))
            self._serve()

    def _let_half_die(self) -> None:
        for worker in self._workers[::2]:
            worker.died_at = self.now
            for task, _ in worker.running.values():
                self._at(self.now + RESCUE_SECONDS, lambda task=task: self._arrive(task))  # type: ignore[misc]

    def _look(self) -> None:
        self._at(self.now + LOOK_SECONDS, self._look)
        self._compare()
        self._runs = {}
        came: dict[tuple[str, int], Work] = {}
        for task in self._born:
            key = (task.queue, task.priority)
            came[key] = came.get(key, NOTHING).plus(self._work_of(task))
        self._arrivals.pass_by(LOOK_SECONDS, came)
        self._born = []
        self._sampled.clear()
        self._see_surprises()
        nodes = [
            Node(worker.pool.queues, worker.pool.processes, *self._left(worker))
            for worker in self._workers
            if worker.died_at is None or self.now - worker.died_at < LATE_SECONDS
        ]
        loads = {name: Load(self._ahead(name), self._arrivals.of(name)) for name in self._names}
        self._forecast = self._predictor.forecast(nodes, loads, dict.fromkeys(self._names))
        self._looked_at = self.now

    def _compare(self) -> None:
        for task in list(self._open.values()):
            told = task.told
            assert told is not None
            waited = (task.started_at or self.now) - task.submitted_at
            if task.started_at is not None:
                del self._open[task.number]
                if not task.is_late:
                    self._predictor.compare(task.queue, told, waited, self.now)
            elif not task.is_late and waited > (told.prediction.p95_seconds or 0.0):
                task.is_late = True
                self._predictor.compare(task.queue, told, waited * OVERDUE, self.now)

    def _ahead(self, queue: str) -> dict[int, Work]:
        ahead: dict[int, Work] = {}
        for *_, task in self._waiting[queue]:
            ahead[task.priority] = ahead.get(task.priority, NOTHING).plus(self._work_of(task))
        return ahead

    def _see_surprises(self) -> None:
        rows = [
            Ahead(task.queue, task.priority, "running", task.task_type, "", self.now - since, 1)
            for worker in self._workers
            if worker.died_at is None
            for task, since in worker.running.values()
        ]
        recent = {
            key: Counter(bucket_of(run) for at, run in ended if at >= self.now - _REMEMBERED_SECONDS)
            for key, ended in self._ended.items()
        }
        self._believed = self._surprises.see(rows, self._usual, recent, self.now)

    def _left(self, worker: _Worker) -> tuple[list[float], list[float]]:
        """Of what it runs, and of what of that is overdue."""
        found: tuple[list[float], list[float]] = ([], [])
        for task, since in worker.running.values() if worker.died_at is None else ():
            runs = self._runs_of(task.task_type, task.queue)
            elapsed = self.now - since
            if runs is None:
                found[0].append(_UNKNOWN.seconds)
            else:
                found[runs.is_overdue(elapsed)].append(runs.remaining(elapsed))
        return found

    def _work_of(self, task: Task) -> Work:
        runs = self._runs_of(task.task_type, task.queue)
        return _UNKNOWN if runs is None else Work(1.0, runs.mean, runs.square, runs.doubt)

    def _runs_of(self, task_type: str, queue: str) -> RunTimes | None:
        return self._believed.get((task_type, queue)) or self._usual(task_type, queue)

    def _usual(self, task_type: str, queue: str) -> RunTimes | None:
        key = (task_type, queue)
        if key not in self._runs:
            ended = self._ended[key]
            while len(ended) > 20 and ended[0][0] < self.now - _REMEMBERED_SECONDS:
                ended.popleft()
            self._runs[key] = RunTimes.of(Counter(bucket_of(run) for _, run in ended), BETWEEN_SECONDS)
        return self._runs[key]
