"""From rows and beats to what the predictor takes. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pointsman_contract.events import Beat
from pointsman_service.broker import Depths
from pointsman_service.observe.prediction.flow import NOTHING, Node, Work
from pointsman_service.observe.prediction.prediction import Reason
from pointsman_service.observe.prediction.run_times import RunTimes
from pointsman_service.observe.prediction.surprises import Key
from pointsman_service.store.metrics.histogram import merge
from pointsman_service.store.metrics.summing import Sums
from pointsman_service.store.queues.ahead import MOST_LOOKED_AT, Ahead

BETWEEN_SECONDS = 0.003
"""What a process needs from one task to the next, beside running it."""
LATE_SECONDS = 2.4
"""A node that is silent for so long is not counted on, where others take from its queue: it should have beaten."""
SILENT_SECONDS = 3.75
"""A node that is silent for so long is counted on by nobody, though it is not known to be dead yet."""


class Runs:
    """What is known of run times, by task type and queue. Where a type was not seen lately its queue speaks for it."""

    def __init__(self, recent: Iterable[Sums] = (), longer: Iterable[Sums] = (), least: int = 10) -> None:
        """From sums by both; ``recent`` counts where it has ``least`` runs."""
        self._of_types: dict[Key, RunTimes] = {}
        self.recent: dict[Key, Mapping[int, int]] = {}
        """Histograms of what ended lately."""
        self._believed: Mapping[Key, RunTimes] = {}
        by_queue: defaultdict[str, list[Mapping[int, int]]] = defaultdict(list)
        for sums, enough in ((longer, 1), (recent, least)):
            for part in sums:
                runs = RunTimes.of(part.run, BETWEEN_SECONDS)
                if runs is None or part.queue is None or part.task_type is None:
                    continue
                if sums is recent:
                    self.recent[part.task_type, part.queue] = part.run
                if runs.runs >= enough:
                    before = self._of_types.get((part.task_type, part.queue))
                    longest = 0.0 if before is None else before.longest
                    self._of_types[part.task_type, part.queue] = replace(runs, longest_before=longest)
        for (_, queue), runs in self._of_types.items():
            by_queue[queue].append(runs.counts)
        self._of_queues = {
            queue: RunTimes.of(merge(*(part.items() for part in parts)), BETWEEN_SECONDS)
            for queue, parts in by_queue.items()
        }

    def believe(self, believed: Mapping[Key, RunTimes]) -> None:
        """From here on this is told of these types (``Surprises``)."""
        self._believed = believed

    def usual(self, task_type: str, queue: str) -> RunTimes | None:
        """Whatever is believed of the newest; None when nothing of the queue was ever seen."""
        return self._of_types.get((task_type, queue)) or self._of_queues.get(queue)

    def of(self, task_type: str, queue: str) -> RunTimes | None:
        """None when nothing of the queue was ever seen."""
        return self._believed.get((task_type, queue)) or self.usual(task_type, queue)

    def work(self, task_type: str, queue: str, tasks: float) -> Work:
        """What so many tasks take; no seconds where that is not known."""
        runs = self.of(task_type, queue)
        if runs is None:
            return Work(tasks)
        return Work(tasks, tasks * runs.mean, tasks * runs.square, tasks * runs.doubt)


@dataclass(slots=True)
class Unstarted:
    """What waits of each queue by priority, and what each node runs."""

    work: defaultdict[str, dict[int, Work]] = field(default_factory=lambda: defaultdict(dict))
    running: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By the owner, as the node is called in this life: how long each task is expected to run on."""
    overdue: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """The same of those that have run for far longer than such tasks do."""


def unstarted_of(
    rows: Sequence[Ahead], runs: Runs, depths: Depths, waiting: Mapping[str, int] | None = None
) -> Unstarted:
    """From ``store.queues.ahead``. ``waiting``: how many tasks of each queue wait in PostgreSQL, where that is known;
    what was not looked at of them is as those were that stood at the cut.
    """
    found = Unstarted()
    looked_at: defaultdict[tuple[str, str, int], list[Ahead]] = defaultdict(list)
    for row in rows:
        looked_at[row.queue, row.place, row.priority].append(row)
        if row.place != "running":
            _add(found.work[row.queue], row.priority, runs.work(row.task_type, row.queue, row.tasks))
        elif row.worker is not None:
            of_type = runs.of(row.task_type, row.queue)
            elapsed = row.elapsed_seconds or 0.0
            by_owner = found.overdue if of_type is not None and of_type.is_overdue(elapsed) else found.running
            by_owner[row.worker] += [elapsed if of_type is None else of_type.remaining(elapsed)] * row.tasks
    seen: defaultdict[tuple[str, str], int] = defaultdict(int)
    cut: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for (queue, place, priority), parts in looked_at.items():
        tasks = sum(part.tasks for part in parts)
        seen[queue, place] += tasks
        running = sum(part.tasks for part in looked_at.get((queue, "running", priority), ()))
        if tasks + (running if place == "sent" else 0) >= MOST_LOOKED_AT:
            cut[queue, place].append(priority)
    for (queue, place), priorities in cut.items():
        totals = waiting or {} if place == "waiting" else {queue: depths.queues[queue].messages}
        more = (totals.get(queue, 0) - seen[queue, place]) / len(priorities)
        for priority in priorities:
            parts = looked_at[queue, place, priority]
            tasks = sum(part.tasks for part in parts)
            for part in parts:
                share = max(more, 0.0) * part.tasks / tasks
                _add(found.work[queue], priority, runs.work(part.task_type, queue, share))
    return found


def are_cut(rows: Sequence[Ahead]) -> bool:
    """Whether more may wait in PostgreSQL than was looked at."""
    seen: defaultdict[tuple[str, int], int] = defaultdict(int)
    for row in rows:
        if row.place == "waiting":
            seen[row.queue, row.priority] += row.tasks
    return any(tasks >= MOST_LOOKED_AT for tasks in seen.values())


def _add(works: dict[int, Work], priority: int, work: Work) -> None:
    works[priority] = works.get(priority, NOTHING).plus(work)


def nodes_of(beats: Mapping[str, Beat], silent: Mapping[str, float], unstarted: Unstarted) -> list[Node]:
    """The nodes that may be counted on, from the beats of those that are not dead and how long each is silent; both by
    owner.
    """
    taking = {owner: beat for owner, beat in beats.items() if silent.get(owner, 0.0) < SILENT_SECONDS and _takes(beat)}
    punctual = {queue for owner in punctual_of(taking, silent) for queue in taking[owner]["queues"]}
    found = []
    for owner, beat in taking.items():
        queues = beat["queues"]
        if silent.get(owner, 0.0) >= LATE_SECONDS:
            queues = [queue for queue in queues if queue not in punctual]
        if queues:
            running, overdue = unstarted.running.get(owner, ()), unstarted.overdue.get(owner, ())
            found.append(Node(queues, beat["processes"], running, overdue))
    return found


def punctual_of(beats: Mapping[str, Beat], silent: Mapping[str, float]) -> frozenset[str]:
    """The owners that may be counted on without a doubt, from the same."""
    return frozenset(owner for owner, beat in beats.items() if silent.get(owner, 0.0) < LATE_SECONDS and _takes(beat))


def reasons_of(
    queues: Iterable[str],
    depths: Depths,
    beats: Mapping[str, Beat],
    nodes: Sequence[Node],
    held: Iterable[str],
    *,
    watched: bool,
) -> dict[str, Reason | None]:
    """Why nothing is said of a queue. ``held``: queues of which everything is held by circuit breakers; ``watched``:
    whether the workers were watched for long enough to know who lives.
    """
    taken = {queue for node in nodes for queue in node.queues}
    held = set(held)
    found: dict[str, Reason | None] = {}
    for queue in queues:
        depth = depths.queues.get(queue)
        if depths.epoch is None or depth is None or depth.broken:
            found[queue] = Reason.NOT_KNOWN
        elif depth.paused:
            found[queue] = Reason.PAUSED
        elif queue not in taken:
            silent = any(queue in beat["queues"] and _takes(beat) for beat in beats.values())
            found[queue] = Reason.NOT_KNOWN if silent or not watched else Reason.NO_WORKER
        else:
            found[queue] = Reason.BREAKER_OPEN if queue in held else None
    return found


def _takes(beat: Beat) -> bool:
    return not beat.get("stopping") and not beat.get("ejected")
