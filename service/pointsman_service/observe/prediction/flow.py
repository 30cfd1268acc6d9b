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
_GOES_ON_SECONDS, _GOES_ON_CAREFUL_SECONDS = 120.0, 600.0
"""What comes now goes on coming for so long: a burst is soon over, and nobody knows of what is later."""
_CERTAIN = 1.645
"""Standard deviations of a normal distribution to its 95th percentile."""


class Work(NamedTuple):
    """Some tasks, and what they take."""

    tasks: float = 0.0
    seconds: float = 0.0
    """Sum of their expected run times."""
    squares: float = 0.0
    """Sum of the expected squares of their run times."""
    doubt: float = 0.0
    """Seconds by which all of them together may be longer: a standard deviation that they share."""

    def plus(self, other: "Work", share: float = 1.0) -> "Work":
        """Both together; ``share`` of the other."""
        return Work(
            self.tasks + share * other.tasks,
            self.seconds + share * other.seconds,
            self.squares + share * other.squares,
            self.doubt + share * other.doubt,
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
    overdue: Sequence[float] = ()
    """The same of those that have run for far longer than such tasks do; they are not in ``remaining``."""


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
    overdue: tuple[float, ...] = ()
    """Of processes whose run is overdue: seconds that it is expected to run on, the shortest first."""
    rivals: Work = NOTHING
    """Of what is ahead, that of other queues, which its nodes empty first."""


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
    doubtful: bool = False
    """Whether what runs now is unlike what ran before: what became of earlier predictions says little of it."""

    @property
    def kind(self) -> int:
        """The class of tasks that are in the same place: a number below ``KINDS``."""
        return _FIRST_KIND + 2 * self.rounds + self.overtaken + self.doubtful * _USUAL_KINDS

    @property
    def is_far(self) -> bool:
        """Whether others will pass it for long: what these are by then no record tells."""
        return self.overtaken and self.rounds >= _FAR


_ROUNDS = 9
_FAR = 4
_USUAL_KINDS = 2 * _ROUNDS
_MODEL = 1
"""Raised with whatever makes the same words mean something else: what was told before is no record of it then."""
_FIRST_KIND = 2 * _USUAL_KINDS * _MODEL
KINDS = _FIRST_KIND + 2 * _USUAL_KINDS


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
        overdue = sorted(seconds for node in serving for seconds in node.overdue)
        busy = sum(min(len(node.remaining) + len(node.overdue), node.processes) for node in serving)
        mine = NOTHING
        for work in (*load.ahead.values(), *load.arriving.values()):
            mine = mine.plus(work)
        run = mine.seconds / mine.tasks if mine.tasks else 0.0
        found[queue] = Line(
            processes=processes,
            free=processes - busy,
            remaining=sum(remaining),
            ahead=tuple(_from(load.ahead, priority, ahead_of_all[0]) for priority in range(PRIORITIES)),
            overtaking=tuple(_from(load.arriving, priority + 1, ahead_of_all[1]) for priority in range(PRIORITIES)),
            run_seconds=run,
            rest_seconds=mine.squares / (2 * mine.seconds) if mine.seconds else sum(remaining) / max(len(remaining), 1),
            overdue=tuple(overdue[:processes]),
            rivals=ahead_of_all[0],
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
    steady = line.processes - len(line.overdue)
    count, work = _taking_part(line, before.seconds)
    # The others are busy still when the first gets free.
    alone = max((work - (count - 1) * line.rest_seconds) / count, 0.5 * line.rest_seconds / count)
    seconds = _passed(alone, share, _GOES_ON_SECONDS)
    mean = before.seconds / before.tasks if before.tasks else line.run_seconds
    left = work - before.seconds
    spread = max(before.squares - before.seconds * mean, 0.0) + before.doubt**2 + count * (left / count) ** 2
    variance = (spread + overtaking.squares * seconds) / (count * (1 - share)) ** 2
    # How much will come is least known of what may be long in coming.
    careful = min(_LARGEST_SHARE, _MORE * share)
    p95 = _passed(alone, careful, _GOES_ON_CAREFUL_SECONDS) + _CERTAIN * math.sqrt(variance)
    if line.overdue:
        p95 = max(p95, _passed(_without_overdue(line, before), careful, _GOES_ON_CAREFUL_SECONDS))
    rounds = 1
    while rounds < _ROUNDS - 1 and places > count * 4 ** (rounds - 1):
        rounds += 1
    return Estimate(
        seconds + OVERHEAD_SECONDS,
        0.95 * seconds + OVERHEAD_SECONDS,
        max(p95, 1.5 * seconds) + 10 * OVERHEAD_SECONDS,
        rounds,
        overtaken,
        steady <= 0 or before.doubt > 0,
    )


def _passed(alone: float, share: float, goes_on: float) -> float:
    """What takes so long ``alone``, while for ``goes_on`` seconds others take a ``share`` of the processes."""
    return min(alone / (1 - share), alone + share * goes_on)


def _taking_part(line: Line, ahead_seconds: float) -> tuple[int, float]:
    """The processes that take of what is ahead before it is done, and its work with theirs."""
    count, work = line.processes - len(line.overdue), ahead_seconds + line.remaining
    for left in line.overdue:
        if count and left >= work / count:
            break
        count, work = count + 1, work + left
    return count, work


def _without_overdue(line: Line, before: Work) -> float:
    """The wait should what is overdue go on. Where that is all there is, the 95th percentile of the first of them to
    end: one that has gone on for so long goes on for as long again in half of the cases (Lindy's law).
    """
    steady = line.processes - len(line.overdue)
    if steady > 0:
        return (before.seconds + line.remaining) / steady
    count = len(line.overdue)
    longest = sum(line.overdue) / count * (20 ** (1 / count) - 1)
    return (before.seconds + _CERTAIN * before.doubt) / count + longest
