"""One task type in a world without servers: its callers, eight processes, and the circuit breaker that is really used.

Everything takes the time that it takes in an installation: a worker opens the breaker in the call that reports the
last failure, the recorder hears of an attempt a moment later, and a sweep leases permits and lets tasks go. Chance
comes from a seed, so that the same question has the same answer.
"""

import heapq
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.retry import RetryPolicy
from pointsman_service.breaker.breaker import Breaker, BreakerState, Kind, Outcome
from pointsman_service.breaker.of_task_type import TaskTypeBreaker
from pointsman_service.reconcile.ramp import Ramp

PROCESSES = 8
SEND_SECONDS = (0.01, 0.06)
"""From a row that waits to a process that is free: at least, at most."""
RECORD_SECONDS = 0.03
"""From a report to what the recorder makes of it."""
SWEEP_SECONDS = 0.25
_PASSING = (BreakerState.CLOSED, BreakerState.DISABLED)


@dataclass(eq=False)
class Task:
    """One task of the type."""

    number: int
    caller: str
    is_bad: bool
    submitted_at: float
    attempt: int = 0
    started_at: float | None = None
    """Its first attempt."""
    ended_at: float | None = None

    @property
    def id(self) -> str:
        """As a permit names it."""
        return str(self.number)


@dataclass(frozen=True)
class Arrival:
    """What somebody submits."""

    at: float
    caller: str
    is_bad: bool = False


@dataclass(frozen=True)
class Story:
    """What happens to the type."""

    name: str
    arrivals: tuple[Arrival, ...]
    seconds: float
    broken: tuple[float, float] = (0.0, 0.0)
    """From when until when every attempt fails."""
    is_mended_by_workers: bool = False
    """Whether new workers start when it is mended."""
    run_seconds: float = 0.05
    has_tags: bool = True
    """Whether a task tells by a tag for whom it is."""


@dataclass
class Told:
    """What became of it."""

    tasks: list[Task]
    calls: list[tuple[float, bool]] = field(default_factory=list)
    """When each attempt began, and whether it failed."""
    first_held_at: float | None = None
    openings: list[float] = field(default_factory=list)
    """When it left closed."""


class World:
    """Plays one story with one breaker. ``breaker``: a ``TaskTypeBreaker``, or a plain one, which is how breakers of
    task types were before, and those of dependencies are.
    """

    def __init__(self, story: Story, breaker: Breaker, policy: BreakerPolicy, seed: int) -> None:
        self._story = story
        self._policy = policy
        self._random = random.Random(seed)
        self._retry = RetryPolicy()
        self._breaker = breaker
        self._known = breaker
        """As Redis has it."""
        self._run: tuple[int, float, float] = (0, 0.0, 0.0)
        """What workers count: failures in a row, the first, the last."""
        self._is_opened_by_workers = False
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._waiting: list[tuple[float, int, Task]] = []
        self._held: dict[int, Task] = {}
        self._free = PROCESSES
        self._ramp: Ramp | None = None
        self._now = 0.0
        self.told = Told([])

    def play(self) -> Told:
        """From the first submission to the end of the story."""
        for arrival in self._story.arrivals:
            self._at(arrival.at, lambda arrival=arrival: self._submit(arrival))  # type: ignore[misc]
        if self._story.is_mended_by_workers:
            self._at(self._story.broken[1], self._meet_new_worker)
        self._at(0.0, self._sweep)
        while self._events:
            self._now, _, act = heapq.heappop(self._events)
            if self._now > self._story.seconds:
                break
            act()
        return self.told

    def _at(self, moment: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), act))

    def _submit(self, arrival: Arrival) -> None:
        task = Task(len(self.told.tasks), arrival.caller, arrival.is_bad, self._now)
        self.told.tasks.append(task)
        self._wait(task)

    def _wait(self, task: Task) -> None:
        if self._holds(task):
            self._hold(task)
            return
        self._at(self._now + self._random.uniform(*SEND_SECONDS), lambda: self._arrive(task))

    def _arrive(self, task: Task) -> None:
        heapq.heappush(self._waiting, (task.submitted_at, task.number, task))
        self._start()

    def _hold(self, task: Task) -> None:
        self._held[task.number] = task
        if self.told.first_held_at is None:
            self.told.first_held_at = self._now

    def _holds(self, task: Task) -> bool:
        """As the gate decides it."""
        if self._is_opened_by_workers:
            return True
        if self._known.seen in _PASSING:
            return False
        return self._known.seen is not BreakerState.HALF_OPEN or task.id not in self._known.permits

    def _start(self) -> None:
        while self._free and self._waiting:
            task = heapq.heappop(self._waiting)[2]
            if self._holds(task):
                self._hold(task)
                continue
            self._free -= 1
            task.attempt += 1
            if task.started_at is None:
                task.started_at = self._now
            fails = task.is_bad or self._story.broken[0] <= self._now < self._story.broken[1]
            self.told.calls.append((self._now, fails))
            lasts = self._story.run_seconds * self._random.uniform(0.5, 1.5)
            epoch = self._known.epoch
            self._at(self._now + lasts, lambda task=task, fails=fails, epoch=epoch: self._end(task, fails, epoch))  # type: ignore[misc]

    def _end(self, task: Task, fails: bool, epoch: int) -> None:
        self._free += 1
        outcome = Outcome(Kind.FAILURE if fails else Kind.SUCCESS, epoch, task.id, is_first=task.attempt == 1)
        self._count_at_once(outcome, task)
        ended_at = self._now
        self._at(self._now + RECORD_SECONDS, lambda: self._record(outcome, ended_at))
        if fails and task.attempt < self._retry.max_attempts:
            seconds = self._retry.delay(task.attempt, self._random.random)
            self._at(self._now + seconds, lambda: self._wait(task))
        else:
            task.ended_at = self._now
        self._start()

    def _count_at_once(self, outcome: Outcome, task: Task) -> None:
        """What ``report.lua`` does."""
        known = self._known
        if outcome.kind is Kind.SUCCESS:
            self._run = (0, 0.0, 0.0)
        elif outcome.epoch != known.epoch or self._is_opened_by_workers:
            return
        elif isinstance(known, TaskTypeBreaker):
            run = known.run_that_opens(self._policy)
            if known.seen is not BreakerState.CLOSED or not outcome.is_first or run is None:
                return
            failures, began, last = self._run
            if not failures or self._now - last > run.age:
                failures, began = 0, self._now
            self._run = (failures + 1, began, self._now)
            self._is_opened_by_workers = run.opens(failures + 1, self._now - began)
        elif known.seen is BreakerState.HALF_OPEN:
            self._is_opened_by_workers = task.id in known.permits
        else:
            self._run = (self._run[0] + 1, 0.0, 0.0)
            self._is_opened_by_workers = self._run[0] >= (self._policy.failure_threshold or 0)
        if self._is_opened_by_workers:
            self._run = (0, 0.0, 0.0)

    def _record(self, outcome: Outcome, at: float) -> None:
        self._move(self._breaker.record(outcome, self._policy, at, lambda: 0.0).breaker)

    def _move(self, breaker: Breaker) -> None:
        if self._breaker.state is BreakerState.CLOSED and breaker.state is not BreakerState.CLOSED:
            self.told.openings.append(self._now)
        self._breaker = breaker

    def _meet_new_worker(self) -> None:
        if isinstance(self._breaker, TaskTypeBreaker):
            self._move(self._breaker.meets_new_worker(self._now).breaker)

    def _sweep(self) -> None:
        self._at(self._now + SWEEP_SECONDS, self._sweep)
        self._move(self._breaker.tick(self._now).breaker)
        self._lease()
        self._known, self._is_opened_by_workers = self._breaker, False
        if self._breaker.seen in _PASSING:
            self._release()
        else:
            self._ramp = None

    def _lease(self) -> None:
        breaker = self._breaker
        any_may = True
        if isinstance(breaker, TaskTypeBreaker):
            if breaker.may_recognise and self._recognises(breaker):
                self._move(breaker.recognise(self._now).breaker)
                self._ramp = None
                return
            if breaker.may_doubt(self._policy) and self._candidates(any_may=False):
                self._move(breaker.doubt(self._now).breaker)
            breaker = self._breaker
            assert isinstance(breaker, TaskTypeBreaker)
            any_may = breaker.takes_any
        if breaker.seen is not BreakerState.HALF_OPEN:
            return
        free = self._policy.half_open_permits - len(breaker.permits)
        for task in self._candidates(any_may=any_may)[: max(0, free)]:
            breaker = breaker.lease(task.id, self._policy, self._now)[0].breaker
            self._let_go(task, breaker)
        self._move(breaker)

    def _let_go(self, task: Task, known: Breaker) -> None:
        del self._held[task.number]
        self._known, self._is_opened_by_workers = known, False
        self._wait(task)

    def _candidates(self, *, any_may: bool) -> list[Task]:
        """Held tasks that may be probes, in the order in which they are chosen."""
        oldest = sorted(self._held.values(), key=lambda task: (task.submitted_at, task.number))
        breaker = self._breaker
        if not isinstance(breaker, TaskTypeBreaker):
            return oldest
        accused = self._accused(breaker)
        turn: defaultdict[str, int] = defaultdict(int)
        ranked = []
        for task in oldest:
            if task.attempt and not any_may:
                continue
            if breaker.wants_others(self._policy) and not any_may and task.caller in accused:
                continue
            turn[task.caller] += 1
            ranked.append((task.attempt > 0, task.caller in accused, turn[task.caller], task.number))
        return [self.told.tasks[found[-1]] for found in sorted(ranked)]

    def _recognises(self, breaker: TaskTypeBreaker) -> bool:
        """Whether all that failed are of callers whose inputs were bad when another's were well."""
        bad, well, accused = (
            {self.told.tasks[int(task)].caller for task in tasks}
            for tasks in (breaker.bad, breaker.well, breaker.accused)
        )
        return self._story.has_tags and len(bad) == 1 and not bad & well and accused == bad

    def _accused(self, breaker: TaskTypeBreaker) -> set[str]:
        """The callers of what is like the tasks that failed."""
        if not self._story.has_tags:
            return {task.caller for task in self.told.tasks}
        callers = Counter(self.told.tasks[int(task)].caller for task in breaker.accused)
        return {caller for caller, tasks in callers.items() if 2 * tasks >= len(breaker.accused)}

    def _release(self) -> None:
        breaker = self._breaker
        tasks = deque(self._candidates(any_may=True))
        if isinstance(breaker, TaskTypeBreaker) and breaker.is_mistaken:
            accused = self._accused(breaker)
            for task in [one for one in tasks if not one.attempt and one.caller not in accused]:
                tasks.remove(task)
                self._let_go(task, breaker)
        if not tasks:
            return
        self._ramp = self._ramp or Ramp(self._now)
        room = min(self._ramp.room(self._policy, self._now), len(tasks))
        for _ in range(room):
            self._let_go(tasks.popleft(), breaker)
        self._ramp.let_go(room)


def poisson(
    rate: float, seconds: float, chance: random.Random, caller: Callable[[], tuple[str, bool]]
) -> Iterator[Arrival]:
    """Submissions that come by chance, so many a second. ``caller`` says whose each is, and whether it is bad."""
    moment = chance.expovariate(rate)
    while moment < seconds:
        yield Arrival(moment, *caller())
        moment += chance.expovariate(rate)
