"""What ``TaskMetrics`` says over a window, of each task type, queue, caller, error or worker pool."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from pointsman_service.observe.durations import Durations, durations
from pointsman_service.observe.sla import attainment
from pointsman_service.store.metrics import summing
from pointsman_service.store.metrics.counters import COUNTERS
from pointsman_service.store.metrics.histogram import merge
from pointsman_service.store.metrics.remembering import Remembered
from pointsman_service.store.metrics.summing import GroupBy, Sums, Windowed
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
    held: int
    """Tasks that ended and had been held; ``held_seconds`` in all."""
    held_seconds: float
    rescued: int
    cancelled_running: int
    predicted: int
    """Predictions of a sample of the tasks that were compared with what came."""
    kept: int
    """Those of them that held: started within the p95."""
    kept_p50: int
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
        held=int(counts["held"]),
        held_seconds=round(counts["held_seconds_sum"], 6),
        rescued=int(counts["rescued"]),
        cancelled_running=int(counts["cancelled_running"]),
        predicted=int(counts["predicted"]),
        kept=int(counts["kept"]),
        kept_p50=int(counts["kept_p50"]),
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


def top(sums: Iterable[Sums], most: int) -> list[Sums]:
    """The ``most`` groups of which most was run, then submitted, that first; what has no name; the rest as one."""
    ranked = sorted(sums, key=_rank)
    named = [one for one in ranked if _name(one) is not None]
    nameless = [one for one in ranked if _name(one) is None and not one.is_others]
    rest = [*named[most:], *(one for one in ranked if one.is_others)]
    others = [replace(total(rest), is_others=True)] if rest else []
    return [*named[:most], *nameless, *others]


def _rank(sums: Sums) -> tuple[float, float, str]:
    counts = sums.counts
    return (-counts["executions"], -counts["submitted"], _name(sums) or "")


def _name(sums: Sums) -> str | None:
    return sums.name or sums.task_type or sums.queue


async def read(store: Store, group_by: GroupBy, window_seconds: float) -> list[Sums]:
    """The sums of every group over the window until now. Raises the store's errors."""
    async with store.statement() as connection:
        return (await summing.over_window(connection, group_by, window_seconds)).sums


class TaskMetricsWatch:
    """Sums over windows, of one installation. Remembers what they are made of, so that a window that was asked for
    lately costs little, however much happened in it; none of its figures is older than the answer.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._remembered = Remembered()

    async def windowed(self, group_by: GroupBy, window_seconds: float, until: datetime | None = None) -> Windowed:
        """The sums of every group over the window, which ends now or ``until``, and what of it they cover. Raises the
        store's errors.
        """
        async with self._store.statement() as connection:
            return await self._remembered.over_window(connection, group_by, window_seconds, until)
