"""What moves of tasks mean for TaskMetrics: the one place that counts them, from rows that moved and never from events.

Submissions are counted in the statement that stores them (``pointsman_service.store.tasks.birth``).
"""

from datetime import datetime
from functools import lru_cache

from pointsman_contract.errors import ErrorType
from pointsman_contract.nodes import pool_of
from pointsman_contract.states import TaskState
from pointsman_service.store.listeners import Ended, Ends
from pointsman_service.store.metrics.counters import Tallies, Tally
from pointsman_service.store.reported import Moved

_WORKERS = 4096


@lru_cache(_WORKERS)
def pool_of_worker(worker: str | None) -> str | None:
    """The pool of the worker that ran an attempt."""
    return None if worker is None else pool_of(worker)


def count_start(tallies: Tallies, moved: Moved, at: datetime, worker: str | None) -> None:
    """An attempt that began, or whose begin was not known before its end."""
    tally = tallies.of(moved.task_type, moved.queue, at, moved.caller, pool_of_worker(worker))
    tally.counts["started"] += 1
    if moved.queue_wait_seconds is not None:
        tally.waited(moved.queue_wait_seconds)
    if moved.attempt == 1:
        tally.counts["sla_met" if moved.sla_met else "sla_missed"] += 1


def count_ends(tallies: Tallies, ends: Ends) -> None:
    """Everything that ended in one transaction."""
    for ended in ends.tasks:
        moved, end = ended
        if moved.first_seen and end.started_at is not None:
            count_start(tallies, moved, end.started_at, end.worker)
        tally = _count(tallies, ended, moved.state)
        if moved.attempt == 0 and moved.sla_met is False and not end.executed:
            tally.counts["sla_missed"] += 1
        if moved.held_seconds > 0:
            tally.counts["held"] += 1
            tally.held_seconds_sum += moved.held_seconds
        if moved.state == TaskState.CANCELLED and end.run_seconds is not None:
            tally.counts["cancelled_running"] += 1
    for ended in ends.retried:
        _count(tallies, ended, "retried")
    if ends.interrupted:
        gone = {ended.moved.id for ended in ends.tasks}
        for ended in ends.interrupted:
            tally = _count(tallies, ended, "interrupted")
            if ended.end.error_type == ErrorType.INTERRUPTED and ended.moved.id not in gone:
                tally.counts["rescued"] += 1


def _count(tallies: Tallies, ended: Ended, counter: str) -> Tally:
    moved, end = ended
    tally = tallies.of(
        moved.task_type, moved.queue, end.finished_at, moved.caller, pool_of_worker(end.worker), end.error_type
    )
    counts = tally.counts
    counts[counter] += 1
    if end.executed:
        counts["executions"] += 1
        if end.run_seconds is not None:
            tally.ran(end.run_seconds)
        if end.timed_out:
            counts["timed_out"] += 1
    return tally
