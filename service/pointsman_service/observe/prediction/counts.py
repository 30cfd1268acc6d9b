"""What of predictions is counted in one transaction: by queue, and in ``TaskMetrics`` with their tasks. Pure."""

from datetime import datetime

from pointsman_contract.nodes import pool_of
from pointsman_service.store.metrics import counters
from pointsman_service.store.metrics.counters import Tallies
from pointsman_service.store.metrics.histogram import bucket_of
from pointsman_service.store.metrics.predictions import KeptPrediction, Seen, Settled, Tally


class Counts:
    """Of predictions that were open until now, each once: from what their rows say, so that a recount says the same."""

    def __init__(self) -> None:
        self.by_queue: dict[str, Tally] = {}
        self.of_tasks = Tallies()

    def add_start(self, kept: KeptPrediction, seen: Seen, waited: float, settled: Settled) -> None:
        """A task that has started. Of one that was late already the distance alone is news."""
        by_queue = self.by_queue.setdefault(kept.queue, Tally())
        errors = by_queue.errors = by_queue.errors or {}
        error = bucket_of(abs(waited - kept.p50_seconds))
        errors[error] = errors.get(error, 0) + 1
        if settled.was_late:
            return
        by_queue.compared += 1
        by_queue.within_p50 += settled.within_p50
        by_queue.within_p95 += settled.within_p95
        pool = None if seen.worker is None else pool_of(seen.worker)
        counts = self._of_task(kept, seen, settled.at, pool).counts
        counts["predicted"] += 1
        counts["kept"] += settled.within_p95
        counts["kept_p50"] += settled.within_p50

    def add_miss(self, kept: KeptPrediction, seen: Seen, at: datetime) -> None:
        """A task that had not started when its p95 passed."""
        self.by_queue.setdefault(kept.queue, Tally()).compared += 1
        self._of_task(kept, seen, at, None).counts["predicted"] += 1

    def _of_task(self, kept: KeptPrediction, seen: Seen, at: datetime, pool: str | None) -> counters.Tally:
        return self.of_tasks.of(seen.task_type, kept.queue, at, seen.caller, pool)
