"""Workers as the page tells them: how each is, in a word, and what it runs. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pointsman_contract.queues import PoolSpec
from pointsman_service.observe.explain.running import LONG
from pointsman_service.observe.tasks.in_short import how_far, share_of
from pointsman_service.observe.tasks.task import Task
from pointsman_service.observe.workers import WorkerFigures


@dataclass(frozen=True)
class Run:
    """What a worker runs."""

    task: Task
    seconds: float | None
    """Since it started."""
    usual_p95_seconds: float | None
    """Of its type over the last day."""
    share: float | None
    """Of its progress, 0 to 1."""

    @property
    def is_long(self) -> bool:
        """It has run for much longer than usual, as ``explain`` says so."""
        return (
            self.seconds is not None
            and self.usual_p95_seconds is not None
            and self.seconds > LONG * self.usual_p95_seconds
        )

    def far(self, *, reads_payloads: bool) -> str:
        """How far it says it is, in words."""
        return "" if self.task.progress is None else how_far(self.task.progress, reads_payloads=reads_payloads)


@dataclass(frozen=True)
class Node:
    """One life of a worker."""

    worker: WorkerFigures
    runs: Sequence[Run]
    """What has run longest first."""
    silent_since: datetime
    """Its last beat, to the second."""

    @property
    def state(self) -> str:
        """In a word."""
        worker = self.worker
        if worker.live is False:
            return "gone" if worker.left else "silent"
        if worker.live is None:
            return "unknown"
        if worker.ejected:
            return "ejected"
        if worker.on_probation:
            return "on_probation"
        if worker.left:
            return "stopping"
        if worker.busy is None:
            return "live"
        return "busy" if worker.busy else "idle"


@dataclass(frozen=True)
class Pool:
    """All workers of one name and set of queues."""

    name: str
    queues: Sequence[str]
    live: int
    silent: int
    processes: int
    """Of live workers."""
    busy: int | None
    """None: not known."""
    leaves: Sequence[str]
    """Those of its queues that no live worker takes from, of whatever pool."""
    lacks: Sequence[str]
    """Those of these where tasks are due: only there is anything wrong."""
    is_known: bool
    """Whether it is known now which workers live."""

    @property
    def utilization(self) -> float | None:
        """Busy of all, 0 to 1; None while there are none, or not known."""
        return None if self.busy is None or not self.processes else min(self.busy / self.processes, 1.0)


def nodes_of(
    workers: Iterable[WorkerFigures], running: Iterable[Task], usual: Mapping[str, float], now: datetime
) -> list[Node]:
    """Every worker with what it runs, those first that somebody should look at."""
    by_owner: dict[str, list[Run]] = {}
    for task in running:
        if task.worker is not None:
            by_owner.setdefault(task.worker, []).append(_run(task, usual, now))
    nodes = [
        Node(
            worker,
            sorted(by_owner.get(worker.owner, ()), key=lambda run: -(run.seconds or 0.0)),
            (now - timedelta(seconds=worker.heartbeat_age_seconds)).replace(microsecond=0),
        )
        for worker in workers
    ]
    return sorted(nodes, key=lambda node: (_ORDER.get(node.state, 9), node.worker.pool, node.worker.name))


_ORDER = {"silent": 0, "unknown": 1, "ejected": 2, "on_probation": 3}


def _run(task: Task, usual: Mapping[str, float], now: datetime) -> Run:
    seconds = None if task.started_at is None else max((now - task.started_at).total_seconds(), 0.0)
    return Run(task, seconds, usual.get(task.task_type), None if task.progress is None else share_of(task.progress))


def pools_of(specs: Iterable[PoolSpec], nodes: Sequence[Node], waits: Collection[str] = ()) -> list[Pool]:
    """Those that are configured, and others that workers say they are of. ``waits``: queues where tasks are due."""
    queues = {spec.name: spec.queues for spec in specs}
    for node in nodes:
        queues.setdefault(node.worker.pool, tuple(node.worker.queues))
    served = {
        queue
        for node in nodes
        if node.worker.live and not node.worker.ejected and not node.worker.left
        for queue in node.worker.queues
    }
    # While Redis is away nobody is said to be missing.
    is_known = all(node.worker.live is not None for node in nodes)
    return [
        _pool(name, takes, [node for node in nodes if node.worker.pool == name], served, waits, is_known=is_known)
        for name, takes in queues.items()
    ]


def _pool(
    name: str,
    queues: Sequence[str],
    nodes: Sequence[Node],
    served: Collection[str],
    waits: Collection[str],
    *,
    is_known: bool,
) -> Pool:
    leaves = [queue for queue in queues if queue not in served]
    live = [node.worker for node in nodes if node.worker.live]
    busy = [worker.busy for worker in live]
    known = [one for one in busy if one is not None]
    return Pool(
        name,
        queues,
        len(live),
        sum(node.state == "silent" for node in nodes),
        sum(worker.processes for worker in live),
        sum(known) if len(known) == len(busy) else None,
        leaves,
        [queue for queue in leaves if queue in waits],
        is_known,
    )
