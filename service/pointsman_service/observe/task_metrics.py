"""What ``TaskMetrics`` says about task types and queues over a window."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pointsman_service.observe.durations import Durations, durations
from pointsman_service.observe.sla import attainment
from pointsman_service.store.metrics import watching
from pointsman_service.store.metrics.counters import COUNTERS
from pointsman_service.store.metrics.histogram import merge
from pointsman_service.store.metrics.watching import GroupBy, Sums
from pointsman_service.store.store import Store


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """The figures of one group. Rates are 0 to 1, None when no task succeeded or failed."""

    submitted: int
    started: int
    execution_count: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    retry_count: int
    timed_out: int
    interrupted: int
    uncertain_sendings: int
    duplicates: int
    native: int
    success_rate: float | None
    failure_rate: float | None
    run_seconds: Durations
    queue_wait_seconds: Durations
    sla_met: int
    sla_missed: int
    sla_attainment: float | None


def figures(sums: Sums) -> TaskFigures:
    """The figures of one sum."""
    counts = sums.counts
    ended = counts["succeeded"] + counts["failed"]
    return TaskFigures(
        submitted=int(counts["submitted"]),
        started=int(counts["started"]),
        execution_count=int(counts["executions"]),
        succeeded=int(counts["succeeded"]),
        failed=int(counts["failed"]),
        cancelled=int(counts["cancelled"]),
        expired=int(counts["expired"]),
        retry_count=int(counts["retried"]),
        timed_out=int(counts["timed_out"]),
        interrupted=int(counts["interrupted"]),
        uncertain_sendings=int(counts["uncertain_sendings"]),
        duplicates=int(counts["duplicates"]),
        native=int(counts["native"]),
        success_rate=counts["succeeded"] / ended if ended else None,
        failure_rate=counts["failed"] / ended if ended else None,
        run_seconds=durations(sums.run, counts["run_seconds_sum"]),
        queue_wait_seconds=durations(sums.wait, counts["queue_wait_seconds_sum"]),
        sla_met=int(counts["sla_met"]),
        sla_missed=int(counts["sla_missed"]),
        sla_attainment=attainment(counts["sla_met"], counts["sla_missed"]),
    )


def total(parts: Iterable[Sums]) -> Sums:
    """The sums of all groups together."""
    parts = list(parts)
    return Sums(
        task_type=None,
        queue=None,
        counts={name: sum(part.counts[name] for part in parts) for name in COUNTERS},
        run=merge(*(part.run.items() for part in parts)),
        wait=merge(*(part.wait.items() for part in parts)),
        covered_seconds=max((part.covered_seconds for part in parts), default=0.0),
    )


async def read(
    store: Store, group_by: GroupBy, window_seconds: float | None, until: datetime | None = None
) -> list[Sums]:
    """The sums of every group over the window, which ends now or ``until``. Raises the store's errors."""
    async with store.statement() as connection:
        return await watching.sums(connection, group_by, window_seconds, until)
