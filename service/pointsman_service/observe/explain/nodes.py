"""The nodes of a queue, from beats and rows: who takes from it, what they run, and what they have fetched."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from pointsman_contract.states import Place, TaskState
from pointsman_service.observe.broker_state import BrokerState
from pointsman_service.observe.explain.facts import Fetched, Live, Node, RunningNow
from pointsman_service.observe.tasks.in_short import share_of
from pointsman_service.observe.tasks.task import Task, progress_of
from pointsman_service.observe.workers import WorkerFigures
from pointsman_service.store.store import Connection
from pointsman_service.store.tasks import explaining
from pointsman_service.store.tasks.explaining import RunRow


def nodes_of(queue: str, workers: Iterable[WorkerFigures], now: datetime) -> tuple[Node, ...]:
    """The nodes that take from a queue, or took, as far as they were seen lately."""
    return tuple(
        Node(
            name=worker.name,
            processes=worker.processes,
            busy=worker.busy,
            live=worker.live,
            last_seen_at=now - timedelta(seconds=worker.heartbeat_age_seconds),
            left=worker.left,
            ejected=worker.ejected,
            ejected_since=worker.ejected_since,
            ejected_reason=worker.ejected_reason,
            ejected_until=worker.ejected_until,
        )
        for worker in workers
        if queue in worker.queues
    )


async def with_last(connection: Connection, queue: str, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """With those that were there last, however long ago."""
    known = {node.name for node in nodes}
    older = [row for row in await explaining.last_nodes(connection, queue) if row.name not in known]
    return nodes + tuple(
        Node(row.name, row.processes, busy=None, live=False, last_seen_at=row.last_seen_at, left=None) for row in older
    )


async def running_now(
    connection: Connection, queue: str, broker: BrokerState, usual: Mapping[str, float], now: datetime
) -> tuple[RunningNow, ...]:
    """What the nodes of a queue run by their newest beats, by task type, what has run longest first."""
    ids = runs_of(queue, broker)
    return by_type(await explaining.runs(connection, ids) if ids else (), usual, now)


def runs_of(queue: str, broker: BrokerState) -> list[str]:
    """The ids of what the nodes of a queue run by their newest beats."""
    return [run["task"] for beat in broker.beats.values() if queue in beat["queues"] for run in beat["running"]]


def by_type(runs: Iterable[RunRow], usual: Mapping[str, float], now: datetime) -> tuple[RunningNow, ...]:
    """Runs by task type, what has run longest first. ``usual``: by task type, the p95 of its run time."""
    of_type: dict[str, list[RunRow]] = {}
    for run in runs:
        of_type.setdefault(run.task_type, []).append(run)
    found = []
    for task_type, rows in of_type.items():
        begun = [(row.started_at, row) for row in rows if row.started_at is not None]
        at, first = min(begun, key=lambda pair: pair[0], default=(None, None))
        seconds = None if at is None else max((now - at).total_seconds(), 0.0)
        progress = None if first is None else progress_of(first.progress)
        found.append(
            RunningNow(
                task_type,
                len(rows),
                None if seconds is None else round(seconds, 3),
                None if first is None else str(first.id),
                usual.get(task_type),
                None if progress is None else share_of(progress),
            )
        )
    return tuple(sorted(found, key=lambda one: -(one.longest_seconds or 0.0)))


def fetched_by(task: Task, live: Live, broker: BrokerState, nodes: Iterable[Node]) -> Fetched | None:
    """The node whose beat says that it has the message of this task, and has not begun it."""
    if live.place is not Place.SENT or task.state is not TaskState.QUEUED:
        return None
    tag = f"{task.id}."
    lives = {node.name: node.live for node in nodes}
    return next(
        (
            Fetched(beat["name"], lives.get(beat["name"]))
            for beat in broker.beats.values()
            if any(reserved.startswith(tag) for reserved in beat.get("reserved", ()))
        ),
        None,
    )


def runner_of(task: Task, workers: Iterable[WorkerFigures]) -> Fetched | None:
    """The node that runs it, in the life in which it began it."""
    if task.state is not TaskState.RUNNING or task.worker is None:
        return None
    return next((Fetched(worker.name, worker.live) for worker in workers if worker.owner == task.worker), None)
