"""The estimator *flow*: the work ahead, by what the processes of the queue complete.

Pure. A queue is a line before the processes of all nodes that take from it; tasks leave it by priority and then by
age, and a node that takes from several queues empties them in its order. Work is in process-seconds.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

PRIORITIES = 11
"""0 to 10."""
OVERHEAD_SECONDS = 0.03
"""What a start takes where nothing is ahead, before the record says better."""
_LARGEST_SHARE = 0.95
"""Of the processes, that more urgent tasks which are still to come may take: a line that is never served has no end."""
_MORE = 1.25
"""The rate of what is still to come may rise by so much while a task waits."""
_CERTAIN = 1.645
"""Standard deviations of a normal distribution to its 95th percentile."""


class Work(NamedTuple):
    """Some tasks, and what they take."""

    tasks: float = 0.0
    seconds: float = 0.0
    """Sum of their expected run times."""
    squares: float = 0.0
    """Sum of the expected squares of their run times."""

    def plus(self, other: "Work", share: float = 1.0) -> "Work":
        """Both together; ``share`` of the other."""
        return Work(
            self.tasks + share * other.tasks,
            self.seconds + share * other.seconds,
            self.squares + share * other.squares,
        )


NOTHING = Work()


@dataclass(frozen=True, slots=True)
class Node:
    """One living worker node."""

    queues: Sequence[str]
    """In its order of preference."""
    processes: int
    remaining: Sequence[float]
    """Of each task that it runs: seconds that it is expected to run on."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one queue has to do. Both by priority."""

    ahead: Mapping[int, Work]
    """Due and not started, in PostgreSQL or on the broker."""
    arriving: Mapping[int, Work]
    """A second."""


@dataclass(frozen=True, slots=True)
class Line:
    """One queue, as far as the wait in it goes."""

    processes: int
    """Living, that take from it."""
    free: float
    """Of these, how many run nothing."""
    remaining: float
    """Process-seconds until what runs is done."""
    ahead: tuple[Work, ...]
    """Of a task that is submitted now, by its priority."""
    overtaking: tuple[Work, ...]
    """A second: what will pass a task that waits, by its priority."""
    run_seconds: float
    """Mean, of what is ahead and arrives."""
    rest_seconds: float
    """How long a process that is busy is so for, on the average."""


class Estimate(NamedTuple):
    """What flow says."""

    seconds: float
    """Expected."""
    p50: float
    p95: float
    rounds: int
    """Class of depth: 0 where a process is free, then by how often every process must get free, each class four times
    the one before."""
    overtaken: bool
    """Whether what is still to come matters."""

    @property
    def kind(self) -> int:
        """The class of tasks that are in the same place: a number below ``KINDS``."""
        return 2 * self.rounds + self.overtaken

    @property
    def is_far(self) -> bool:
        """Whether others will pass it for long: what these are by then no record tells."""
        return self.overtaken and self.rounds >= _FAR


_ROUNDS = 9
_FAR = 4
KINDS = 2 * _ROUNDS


def lines(nodes: Sequence[Node], loads: Mapping[str, Load]) -> dict[str, Line]:
    """The line of each queue that has a process; queues without one are absent."""
    found = {}
    for queue, load in loads.items():
        serving = [node for node in nodes if queue in node.queues]
        processes = sum(node.processes for node in serving)
        if not processes:
            continue
        rivals = _rivals(queue, nodes, loads)
        ahead_of_all = _together((loads[name], share) for name, share in rivals.items())
        remaining = [seconds for node in serving for seconds in node.remaining]
        busy = sum(min(len(node.remaining), node.processes) for node in serving)
        mine = NOTHING
        for work in (*load.ahead.values(), *load.arriving.values()):
            mine = mine.plus(work)
        run = mine.seconds / mine.tasks if mine.tasks else 0.0
        rest = sum(remaining) / len(remaining) if remaining else 0.0
        found[queue] = Line(
            processes=processes,
            free=processes - busy,
            remaining=sum(remaining),
            ahead=tuple(_from(load.ahead, priority, ahead_of_all[0]) for priority in range(PRIORITIES)),
            overtaking=tuple(_from(load.arriving, priority + 1, ahead_of_all[1]) for priority in range(PRIORITIES)),
            run_seconds=run,
            rest_seconds=mine.squares / (2 * mine.seconds) if mine.seconds else rest,
        )
    return found


def _rivals(queue: str, nodes: Sequence[Node], loads: Mapping[str, Load]) -> dict[str, float]:
    """The queues that some nodes empty first, each with the share of its processes that these are."""
    shared: dict[str, int] = {}
    for node in nodes:
        if queue in node.queues:
            for name in node.queues[: list(node.queues).index(queue)]:
                shared[name] = shared.get(name, 0) + node.processes
    return {
        name: processes / sum(node.processes for node in nodes if name in node.queues)
        for name, processes in shared.items()
        if name in loads
    }


def _together(parts: Iterable[tuple[Load, float]]) -> tuple[Work, Work]:
    ahead, arriving = NOTHING, NOTHING
    for load, share in parts:
        for work in load.ahead.values():
            ahead = ahead.plus(work, share)
        for work in load.arriving.values():
            arriving = arriving.plus(work, share)
    return ahead, arriving


def _from(works: Mapping[int, Work], priority: int, more: Work) -> Work:
    for own, work in works.items():
        if own >= priority:
            more = more.plus(work)
    return more


def estimate(line: Line, priority: int, ahead: Work | None = None) -> Estimate:
    """How long a task waits that has ``ahead`` before it; without that one that is submitted now."""
    before = line.ahead[priority] if ahead is None else ahead
    places = before.tasks - line.free + 1
    overtaking = line.overtaking[priority]
    share = min(_LARGEST_SHARE, overtaking.seconds / line.processes)
    overtaken = share > 0.05
    if places <= 0.5:
        return Estimate(OVERHEAD_SECONDS, OVERHEAD_SECONDS, 10 * OVERHEAD_SECONDS, 0, overtaken)
    count = line.processes
    work = before.seconds + line.remaining
    # The others are busy still when the first gets free.
    alone = max((work - (count - 1) * line.rest_seconds) / count, 0.5 * line.rest_seconds / count)
    seconds = alone / (1 - share)
    mean = before.seconds / before.tasks if before.tasks else line.run_seconds
    spread = max(before.squares - before.seconds * mean, 0.0) + count * (line.remaining / count) ** 2
    variance = (spread + overtaking.squares * seconds) / (count * (1 - share)) ** 2
    # How much will come is least known of what may be long in coming.
    careful = min(_LARGEST_SHARE, _MORE * share)
    p95 = alone / (1 - careful) + _CERTAIN * math.sqrt(variance)
    rounds = 1
    while rounds < _ROUNDS - 1 and places > count * 4 ** (rounds - 1):
        rounds += 1
    return Estimate(
        seconds + OVERHEAD_SECONDS,
        0.95 * seconds + OVERHEAD_SECONDS,
        max(p95, 1.5 * seconds) + 10 * OVERHEAD_SECONDS,
        rounds,
        overtaken,
    )
