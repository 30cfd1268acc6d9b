"""The figures as Prometheus metric families: a collector over one snapshot, no global state."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.observe.backlog import Backlog
from service.observe.broker_state import BrokerState
from service.observe.workers import WorkerFigures, consumers
from service.store.watching import Sums

_COUNTERS = {
    "submitted": ("tasks_submitted", "Tasks submitted."),
    "succeeded": ("tasks_succeeded", "Tasks that succeeded."),
    "failed": ("tasks_failed", "Tasks that failed."),
    "cancelled": ("tasks_cancelled", "Tasks cancelled."),
    "expired": ("tasks_expired", "Tasks that expired before they started."),
    "started": ("attempts_started", "Attempts started."),
    "executions": ("attempts_ended", "Attempts ended, plain Celery runs included."),
    "retried": ("attempts_retried", "Failed attempts that another followed."),
    "timed_out": ("attempts_timed_out", "Attempts ended by a time limit."),
    "interrupted": ("attempts_interrupted", "Attempts that ended with their worker."),
    "duplicates": ("duplicate_messages", "Messages that found their task already running or done."),
    "native": ("native_runs", "Executions of plain Celery tasks."),
    "sla_met": ("sla_met", "First starts within the queue's target."),
    "sla_missed": ("sla_missed", "First starts past the queue's target."),
}
_KINDS = ["task_type", "queue"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known at one moment; None is not known."""

    broker: BrokerState
    sums: Sequence[Sums] | None
    """By task type and queue, over everything kept."""
    backlog: dict[str, Backlog] | None
    workers: Sequence[WorkerFigures] | None
    recorder_lag_seconds: float | None
    pools: Sequence[str]
    alerts: Mapping[tuple[str, str], int] | None = None
    """Open ones by rule and severity."""


class Exposition(Collector):
    """Metric families of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Every family that is known."""
        snapshot = self._snapshot
        yield _gauge("database_up", "1 when the database answers.", snapshot.backlog is not None)
        yield from _broker(snapshot.broker)
        if snapshot.sums is not None:
            yield from _counters(snapshot.sums)
            yield _summary("task_run_seconds", "Run time of attempts.", snapshot.sums, "run")
            yield _summary("task_queue_wait_seconds", "Queue wait of first starts.", snapshot.sums, "wait")
        if snapshot.backlog is not None:
            yield from _backlog(snapshot.backlog)
        if snapshot.workers is not None:
            yield from _workers(snapshot.workers, snapshot.pools, snapshot.backlog or {})
        if snapshot.alerts is not None:
            open_alerts = (([rule, severity], float(n)) for (rule, severity), n in sorted(snapshot.alerts.items()))
            yield _labelled("alerts_open", "Open alerts.", ["rule", "severity"], open_alerts)
        if snapshot.recorder_lag_seconds is not None:
            yield _gauge("recorder_lag_seconds", "Age of the oldest unrecorded event.", snapshot.recorder_lag_seconds)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"pointsman_{name}", text, value=float(value))


def _labelled(name: str, text: str, labels: list[str], values: Iterable[tuple[list[str], float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"pointsman_{name}", text, labels=labels)
    for words, value in values:
        family.add_metric(words, float(value))
    return family


def _kind(part: Sums) -> list[str]:
    return [part.task_type or "", part.queue or ""]


def _broker(broker: BrokerState) -> Iterator[Metric]:
    yield _gauge("broker_up", "1 when the broker answers.", broker.up)
    if broker.depths is None:
        return
    yield _gauge("broker_memory_ratio", "Used share of the broker's memory limit.", broker.depths.memory_percent / 100)
    depths = broker.depths.queues.items()
    messages = (([queue], float(depth.messages)) for queue, depth in depths)
    yield _labelled("broker_messages", "Messages on the broker's lists.", ["queue"], messages)


def _counters(sums: Sequence[Sums]) -> Iterator[Metric]:
    for name, (metric, text) in _COUNTERS.items():
        family = CounterMetricFamily(f"pointsman_{metric}", text, labels=_KINDS)
        for part in sums:
            family.add_metric(_kind(part), part.counts[name])
        yield family


def _summary(name: str, text: str, sums: Sequence[Sums], histogram: str) -> SummaryMetricFamily:
    family = SummaryMetricFamily(f"pointsman_{name}", text, labels=_KINDS)
    for part in sums:
        observed, column = (
            (part.run, "run_seconds_sum") if histogram == "run" else (part.wait, "queue_wait_seconds_sum")
        )
        family.add_metric(_kind(part), count_value=sum(observed.values()), sum_value=part.counts[column])
    return family


def _backlog(backlog: dict[str, Backlog]) -> Iterator[Metric]:
    depths = (([queue], float(found.depth)) for queue, found in backlog.items())
    yield _labelled("queue_depth", "Tasks due and not started.", ["queue"], depths)
    oldest = (([queue], found.oldest_wait_seconds or 0.0) for queue, found in backlog.items())
    yield _labelled("queue_oldest_wait_seconds", "Since the oldest of them was due; 0 for none.", ["queue"], oldest)
    states = (
        ([queue, state], float(tasks)) for queue, found in backlog.items() for state, tasks in found.by_state.items()
    )
    yield _labelled("unfinished_tasks", "Unfinished tasks by state.", ["queue", "state"], states)


def _workers(workers: Sequence[WorkerFigures], pools: Sequence[str], queues: Iterable[str]) -> Iterator[Metric]:
    live = [worker for worker in workers if worker.live]
    up = dict.fromkeys(pools, 0)
    for worker in live:
        up[worker.pool] = up.get(worker.pool, 0) + 1
    yield _labelled("workers_up", "Live workers by pool.", ["pool"], (([pool], float(n)) for pool, n in up.items()))
    ejected = dict.fromkeys(up, 0)
    for worker in live:
        ejected[worker.pool] += worker.ejected
    numbers = (([pool], float(n)) for pool, n in ejected.items())
    yield _labelled("workers_ejected", "Live workers that are taken off their queues.", ["pool"], numbers)
    processes = (([queue], float(consumers(live, queue))) for queue in queues)
    yield _labelled(
        "queue_consumers", "Processes of live workers on the queue, without those ejected.", ["queue"], processes
    )
    busy = sum(worker.busy or 0 for worker in live)
    yield _gauge("worker_processes", "Processes of live workers.", sum(worker.processes for worker in live))
    if all(worker.busy is not None for worker in live):
        yield _gauge("worker_processes_busy", "Attempts under way in live workers.", busy)
