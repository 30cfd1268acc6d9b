"""What moves of tasks mean for TaskMetrics: the one place that counts them, from rows that moved and never from events.

Submissions are counted in the statement that stores them (``pointsman_service.store.tasks.birth``).
"""

from datetime import datetime

from pointsman_service.store.listeners import Ended, Ends
from pointsman_service.store.metrics.counters import Tallies, Tally
from pointsman_service.store.reported import Moved


def count_start(tallies: Tallies, moved: Moved, at: datetime) -> None:
    """An attempt that began, or whose begin was not known before its end."""
    tally = tallies.of(moved.task_type, moved.queue, at)
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
            count_start(tallies, moved, end.started_at)
        tally = _count(tallies, ended, moved.state)
        if moved.attempt == 0 and moved.sla_met is False and not end.executed:
            tally.counts["sla_missed"] += 1
    for ended in ends.retried:
        _count(tallies, ended, "retried")
    for ended in ends.interrupted:
        _count(tallies, ended, "interrupted")


def _count(tallies: Tallies, ended: Ended, counter: str) -> Tally:
    moved, end = ended
    tally = tallies.of(moved.task_type, moved.queue, end.finished_at)
    counts = tally.counts
    counts[counter] += 1
    if end.executed:
        counts["executions"] += 1
        if end.run_seconds is not None:
            tally.ran(end.run_seconds)
        if end.timed_out:
            counts["timed_out"] += 1
    return tally
