"""The figures as Prometheus metric families: a collector over one snapshot, no global state.

No label names a worker, a host or a task: what such a series is about comes and goes, and the series stays.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.observe.backlog import Backlog
from pointsman_service.observe.broker_state import BrokerState
from pointsman_service.observe.prediction.coverage import coverage
from pointsman_service.observe.roles import LedRole
from pointsman_service.observe.workers import WorkerFigures, consumers
from pointsman_service.store.metrics.counters import COUNTERS
from pointsman_service.store.metrics.histogram import up_to
from pointsman_service.store.metrics.predictions import Tally
from pointsman_service.store.metrics.summing import Sums
from pointsman_service.store.streams.left_out import Reason

_COUNTERS = {
    "submitted": ("tasks_submitted", "Tasks submitted."),
    "succeeded": ("tasks_succeeded", "Tasks that succeeded, without plain Celery runs."),
    "failed": ("tasks_failed", "Tasks that failed, without plain Celery runs."),
    "cancelled": ("tasks_cancelled", "Tasks cancelled."),
    "expired": ("tasks_expired", "Tasks that expired before they started."),
    "started": ("attempts_started", "Attempts started."),
    "executions": ("attempts_ended", "Attempts ended, plain Celery runs included."),
    "retried": ("attempts_retried", "Failed attempts that another followed, without plain Celery runs."),
    "timed_out": ("attempts_timed_out", "Attempts ended by a time limit."),
    "interrupted": ("attempts_interrupted", "Attempts that ended with their worker, or when it was stopped."),
    "uncertain_sendings": ("uncertain_sendings", "Tasks sent again in a new epoch that may have run before."),
    "duplicates": ("duplicate_messages", "Messages that found their task already running or done."),
    "native": ("native_runs", "Executions of plain Celery tasks, however they ended."),
    "native_succeeded": ("native_runs_succeeded", "Executions of plain Celery tasks that succeeded."),
    "native_failed": ("native_runs_failed", "Executions of plain Celery tasks that failed."),
    "native_retried": ("native_runs_retried", "Executions of plain Celery tasks that ended in a retry."),
    "sla_met": ("sla_met", "First starts within the queue's target."),
    "sla_missed": ("sla_missed", "First starts past the queue's target."),
    "held": ("tasks_held", "Ended tasks that had been held."),
    "held_seconds_sum": ("tasks_held_seconds", "How long these were held in all."),
    "rescued": ("tasks_rescued", "Tasks that waited again because their worker went away or was stopped."),
    "cancelled_running": ("tasks_cancelled_running", "Tasks that ended as cancelled while they ran."),
    "predicted": ("predictions", "Predicted waits, of a sample of the tasks, that were compared with what came."),
}
_KEPT = {"p50": "kept_p50", "p95": "kept"}
"""Counters of predictions that held, by the bound that did."""
_WITHOUT_NATIVE = ("succeeded", "failed", "retried")
_EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300, 900, 3600)
"""Seconds. The targets of the default queues are among them."""
_KINDS = ["task_type", "queue"]
_OTHER_POOLS = "other"
"""All pools together that are not configured: a node may be called as it likes."""
_SCOPES = ("task_type", "dependency", "worker")


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
    kinds: Sequence[tuple[str, str]] = ()
    """Task types that are known, with each queue that they go to unless a submission names another."""
    left_out: Mapping[Reason, int] | None = None
    """Entries of the event streams, by why."""
    refused: Mapping[str, int] | None = None
    """Calls, by why."""
    rules: Sequence[tuple[str, str]] = ()
    """Every rule that alerts have, with its severity."""
    breakers: Mapping[tuple[str, str], int] | None = None
    """By scope and state."""
    roles: Mapping[LedRole, float] | None = None
    """Since when nobody has had each; 0: somebody has."""
    paused: frozenset[str] | None = None
    """Queues that are."""
    targets: Mapping[str, float] = field(default_factory=dict)
    """Of queue wait, in seconds, by queue."""
    objective: float | None = None
    """The share of the first starts that shall be within them."""
    predictions: Mapping[str, Tally] | None = None
    """How predicted waits came out in the last hour, by queue."""


class Exposition(Collector):
    """Metric families of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Every family that is known."""
        snapshot = self._snapshot
        yield from _broker(snapshot.broker)
        if snapshot.sums is not None:
            counted = _with_those_to_come(snapshot.sums, snapshot.kinds)
            yield from _counters(counted)
            yield _predictions_kept(counted)
            run = "Run time of attempts, plain Celery runs included; bounds are true within 5 %."
            yield _histogram("task_run_seconds", run, snapshot.sums, "run")
            wait = "Queue wait of attempts: due to started; bounds are true within 5 %."
            yield _histogram("task_queue_wait_seconds", wait, snapshot.sums, "wait")
        if snapshot.backlog is not None:
            yield from _backlog(snapshot.backlog)
        if snapshot.workers is not None:
            yield from _workers(snapshot.workers, snapshot.pools, snapshot.backlog or {})
        targets = (([queue], seconds) for queue, seconds in snapshot.targets.items())
        yield _labelled("queue_target_seconds", "The queue's target for queue wait.", ["queue"], targets)
        if snapshot.objective is not None:
            text = "The share of first starts that shall be within the queue's target."
            yield _gauge("sla_objective_ratio", text, snapshot.objective)
        if snapshot.paused is not None:
            paused = (([queue], float(queue in snapshot.paused)) for queue in snapshot.targets)
            yield _labelled("queue_paused", "1 while the queue is paused.", ["queue"], paused)
        if snapshot.predictions is not None:
            yield from _predictions({queue: snapshot.predictions.get(queue, Tally()) for queue in snapshot.targets})
        if snapshot.alerts is not None:
            alerts = dict.fromkeys(snapshot.rules, 0) | dict(snapshot.alerts)
            open_alerts = (([rule, severity], float(n)) for (rule, severity), n in sorted(alerts.items()))
            yield _labelled("alerts_open", "Open alerts.", ["rule", "severity"], open_alerts)
        if snapshot.breakers is not None:
            yield _breakers(snapshot.breakers)
        if snapshot.roles is not None:
            roles = (([str(role)], float(not unled)) for role, unled in snapshot.roles.items())
            yield _labelled("role_led", "1 while a process has the role.", ["role"], roles)
        if snapshot.left_out is not None:
            family = CounterMetricFamily(
                "pointsman_events_left_out", "Entries of the event stream that were left out.", labels=["reason"]
            )
            for reason, entries in snapshot.left_out.items():
                family.add_metric([str(reason)], entries)
            yield family
        if snapshot.refused is not None:
            text = "Calls refused for who asked, or for what its caller may take; of a batch each item."
            family = CounterMetricFamily("pointsman_calls_refused", text, labels=["reason"])
            for why, calls in snapshot.refused.items():
                family.add_metric([why], calls)
            yield family
        if snapshot.recorder_lag_seconds is not None:
            yield _gauge("recorder_lag_seconds", "Age of the oldest unrecorded event.", snapshot.recorder_lag_seconds)


def text_of(families: Iterable[Metric]) -> str:
    """Families as Prometheus text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(list(families)))
    return generate_latest(registry).decode()


def as_openmetrics(text: str) -> str:
    """The same as OpenMetrics, but for its last line: there a family of counters is called without ``_total``."""
    return re.sub(r"^# (HELP|TYPE) (\w+)_total ", r"# \1 \2 ", text, flags=re.MULTILINE)


class _Families(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _predictions(tallies: Mapping[str, Tally]) -> Iterator[Metric]:
    """Of the last hour; a queue of which nothing was compared has no shares."""
    found = {queue: coverage(tally) for queue, tally in tallies.items()}
    compared = (([queue], float(one.compared)) for queue, one in found.items())
    text = "Sampled predicted waits of the last hour of which it is known whether they held."
    yield _labelled("predictions_compared", text, ["queue"], compared)
    shares = (
        ([queue, bound], share)
        for queue, one in found.items()
        for bound, share in (("p50", one.within_p50), ("p95", one.within_p95))
        if share is not None
    )
    text = "Share of them that started within the bound: 0.5 is promised of the p50, 0.95 of the p95."
    yield _labelled("prediction_coverage_ratio", text, ["queue", "bound"], shares)
    errors = (
        ([queue], one.median_error_seconds) for queue, one in found.items() if one.median_error_seconds is not None
    )
    text = "Half of the p50s of the last hour were no further than this from the wait; within 5 %."
    yield _labelled("prediction_median_error_seconds", text, ["queue"], errors)


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
    if broker.set_aside is not None:
        family = CounterMetricFamily(
            "pointsman_messages_set_aside", "Messages that nobody could run.", labels=["queue"]
        )
        for queue in dict.fromkeys([*broker.depths.queues, *broker.set_aside]):
            found = broker.set_aside.get(queue)
            family.add_metric([queue], found.total if found else 0)
        yield family
        kept = (([queue], float(found.open)) for queue, found in broker.set_aside.items())
        yield _labelled("set_aside_messages", "Those of them that nobody has discarded.", ["queue"], kept)


def _counters(sums: Sequence[Sums]) -> Iterator[Metric]:
    for name, (metric, text) in _COUNTERS.items():
        family = CounterMetricFamily(f"pointsman_{metric}", text, labels=_KINDS)
        for part in sums:
            native = part.counts[f"native_{name}"] if name in _WITHOUT_NATIVE else 0.0
            family.add_metric(_kind(part), part.counts[name] - native)
        yield family


def _predictions_kept(sums: Sequence[Sums]) -> Metric:
    text = "Those of them whose task started within the bound."
    family = CounterMetricFamily("pointsman_predictions_kept", text, labels=[*_KINDS, "bound"])
    for part in sums:
        for bound, counter in _KEPT.items():
            family.add_metric([*_kind(part), bound], part.counts[counter])
    return family


def _with_those_to_come(sums: Sequence[Sums], kinds: Iterable[tuple[str, str]]) -> list[Sums]:
    """A counter that appears with its first failures would hide them: ``increase()`` counts from the first sample."""
    counted = {(part.task_type, part.queue) for part in sums}
    nothing = dict.fromkeys(COUNTERS, 0.0)
    return [*sums, *(Sums(*kind, nothing, {}, {}, 0.0) for kind in kinds if kind not in counted)]


def _histogram(name: str, text: str, sums: Sequence[Sums], histogram: str) -> HistogramMetricFamily:
    family = HistogramMetricFamily(f"pointsman_{name}", text, labels=_KINDS)
    for part in sums:
        observed, column = (
            (part.run, "run_seconds_sum") if histogram == "run" else (part.wait, "queue_wait_seconds_sum")
        )
        bounds = [(str(float(edge)), count) for edge, count in zip(_EDGES, up_to(observed, _EDGES), strict=True)]
        family.add_metric(_kind(part), [*bounds, ("+Inf", sum(observed.values()))], part.counts[column])
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
    held = (([queue, why], float(tasks)) for queue, found in backlog.items() for why, tasks in _why_held(found).items())
    yield _labelled("held_tasks", "Held tasks by what holds them.", ["queue", "reason"], held)


def _why_held(backlog: Backlog) -> dict[str, int]:
    """Breakers by their scope: there may be thousands."""
    found: dict[str, int] = {}
    for reason, tasks in backlog.held_by.items():
        kind = ":".join(reason.split(":")[:2])
        found[kind] = found.get(kind, 0) + tasks
    return found


def _breakers(breakers: Mapping[tuple[str, str], int]) -> Metric:
    known = {(scope, str(state)): 0 for scope in _SCOPES for state in BreakerState}
    counted = sorted((known | dict(breakers)).items())
    numbers = (([scope, state], float(n)) for (scope, state), n in counted)
    return _labelled("breakers", "Circuit breakers that ever moved or were set, by state.", ["scope", "state"], numbers)


def _workers(workers: Sequence[WorkerFigures], pools: Sequence[str], queues: Iterable[str]) -> Iterator[Metric]:
    live = [worker for worker in workers if worker.live]
    if not live and any(worker.live is None for worker in workers):
        return
    up = dict.fromkeys([*pools, _OTHER_POOLS], 0)
    for worker in live:
        up[_pool(worker, pools)] += 1
    yield _labelled("workers_up", "Live workers by pool.", ["pool"], (([pool], float(n)) for pool, n in up.items()))
    ejected = dict.fromkeys(up, 0)
    for worker in live:
        ejected[_pool(worker, pools)] += worker.ejected
    numbers = (([pool], float(n)) for pool, n in ejected.items())
    yield _labelled("workers_ejected", "Live workers that are taken off their queues.", ["pool"], numbers)
    known = {queue: consumers(workers, queue) for queue in queues}
    processes = (([queue], float(found)) for queue, found in known.items() if found is not None)
    yield _labelled(
        "queue_consumers",
        "Processes of live workers on the queue, without those that are ejected or about to go.",
        ["queue"],
        processes,
    )
    busy = sum(worker.busy or 0 for worker in live)
    yield _gauge("worker_processes", "Processes of live workers.", sum(worker.processes for worker in live))
    if all(worker.busy is not None for worker in live):
        yield _gauge("worker_processes_busy", "Attempts under way in live workers.", busy)


def _pool(worker: WorkerFigures, pools: Sequence[str]) -> str:
    return worker.pool if worker.pool in pools else _OTHER_POOLS
