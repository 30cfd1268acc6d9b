from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from pointsman_service.broker import Depths, QueueDepth
from pointsman_service.observe.backlog import Backlog
from pointsman_service.observe.broker_state import BrokerState
from pointsman_service.observe.exposition import Exposition, Snapshot, as_openmetrics, text_of
from pointsman_service.observe.roles import LedRole
from pointsman_service.observe.set_aside import SetAside
from pointsman_service.observe.workers import WorkerFigures
from pointsman_service.store.metrics.counters import COUNTERS
from pointsman_service.store.metrics.histogram import bucket_of
from pointsman_service.store.metrics.predictions import Tally
from pointsman_service.store.metrics.summing import Sums
from pointsman_service.store.refused_calls import REASONS
from pointsman_service.store.streams.left_out import Reason

EMAIL = {"task_type": "a", "queue": "email"}


def sums(runs: Sequence[float] = (), waits: Sequence[float] = (), **counts: float) -> Sums:
    def histogram(seconds: Sequence[float]) -> dict[int, int]:
        buckets = [bucket_of(one) for one in seconds]
        return {bucket: buckets.count(bucket) for bucket in buckets}

    return Sums("a", "email", dict.fromkeys(COUNTERS, 0.0) | counts, histogram(runs), histogram(waits), 0.0)


def worker(name: str, pool: str) -> WorkerFigures:
    return WorkerFigures(name, pool, ["email"], 2, 1, 0.5, 0.1, True, 7, "h", datetime(2026, 1, 1, tzinfo=UTC))


def full(**changes: Any) -> Snapshot:
    """A snapshot of which everything is known."""
    backlog = Backlog(1, 2.0, 1, {"held": 9, "queued": 1}, {"breaker:dependency:a": 9})
    depths = Depths(1, 0, {"email": QueueDepth(2, 3, 4, waiting=False)})
    known = Snapshot(
        BrokerState(depths, "", {}, set_aside={"email": SetAside(3, 1)}),
        [sums([0.1, 3.0], [0.2], submitted=3.0)],
        {"email": backlog},
        [worker("email@h", "email")],
        0.5,
        ["email"],
        {("no_worker", "page"): 1},
        [("b", "critical")],
        dict.fromkeys(Reason, 1),
        dict.fromkeys(REASONS, 2),
        [("no_worker", "page")],
        {("dependency", "open"): 2},
        {LedRole.DISPATCHER: 3.0, LedRole.RECORDER: 0.0},
        frozenset({"email"}),
        {"email": 5.0},
        0.99,
        {"email": Tally(20, 9, 19, {bucket_of(0.5): 3})},
    )
    return replace(known, **changes)


def text(parts: Sequence[Sums], kinds: Sequence[tuple[str, str]] = ()) -> str:
    up = BrokerState(Depths(1, 0, {}), "", {})
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exposition(Snapshot(up, parts, {}, [], 0.0, ["email"], {}, kinds)))
    return generate_latest(registry).decode()


def samples(exposed: str, name: str, **labels: str) -> list[tuple[Mapping[str, str], float]]:
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def value(exposed: str, name: str, **labels: str) -> Any:
    ((_, found),) = samples(exposed, name, **labels)
    return found


def test_held_tasks_are_exposed_by_what_holds_them_and_breakers_by_their_scope() -> None:
    backlog = Backlog(by_state={"held": 9})
    backlog.held_by = {"breaker:dependency:a": 1, "breaker:dependency:b:443": 2, "quarantine": 6}
    up = BrokerState(Depths(1, 0, {}), "", {})
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exposition(Snapshot(up, [], {"email": backlog}, [], 0.0, ["email"], {}, [])))
    exposed = generate_latest(registry).decode()
    assert value(exposed, "pointsman_held_tasks", queue="email", reason="breaker:dependency") == 3
    assert value(exposed, "pointsman_held_tasks", queue="email", reason="quarantine") == 6


def test_run_time_and_queue_wait_have_buckets_that_add_up_over_instances() -> None:
    exposed = text([sums([0.004, 0.2, 0.2, 7000.0], [2.0, 2.9], run_seconds_sum=7000.404)])
    counted = {
        labels["le"]: number for labels, number in samples(exposed, "pointsman_task_run_seconds_bucket", **EMAIL)
    }
    assert list(counted.values()) == sorted(counted.values())
    assert (counted["0.005"], counted["0.1"], counted["0.25"], counted["3600.0"], counted["+Inf"]) == (1, 1, 3, 3, 4)
    assert value(exposed, "pointsman_task_run_seconds_count", **EMAIL) == 4
    assert value(exposed, "pointsman_task_run_seconds_sum", **EMAIL) == 7000.404
    assert value(exposed, "pointsman_task_queue_wait_seconds_bucket", le="3.0", **EMAIL) == 2


def test_counters_of_a_task_type_that_never_ran_begin_at_zero() -> None:
    exposed = text([sums(submitted=3.0)], kinds=[("a", "email"), ("b", "critical"), ("b", "reports")])
    for ending in ("succeeded", "failed", "cancelled", "expired"):
        assert value(exposed, f"pointsman_tasks_{ending}_total", task_type="b", queue="reports") == 0
    assert value(exposed, "pointsman_tasks_submitted_total", **EMAIL) == 3
    assert len(samples(exposed, "pointsman_tasks_failed_total")) == 3


def test_openmetrics_are_what_its_own_encoder_writes() -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exposition(full()))
    expected = openmetrics.generate_latest(registry).decode()  # type: ignore[no-untyped-call]  # untyped
    assert as_openmetrics(text_of(Exposition(full()).collect())) + "# EOF\n" == expected


def test_every_rule_role_breaker_and_pool_begins_at_zero() -> None:
    exposed = text_of(Exposition(full(alerts={}, breakers={})).collect())
    assert value(exposed, "pointsman_alerts_open", rule="no_worker", severity="page") == 0
    assert value(exposed, "pointsman_breakers", scope="dependency", state="open") == 0
    assert value(exposed, "pointsman_workers_up", pool="other") == 0
    assert value(exposed, "pointsman_role_led", role="recorder") == 1
    assert value(exposed, "pointsman_role_led", role="dispatcher") == 0
    assert value(exposed, "pointsman_queue_paused", queue="email") == 1
    assert value(exposed, "pointsman_queue_target_seconds", queue="email") == 5


def test_pools_that_are_not_configured_are_one() -> None:
    workers = [worker("a@h", "email"), worker("b@h", "b"), worker("c@h", "c")]
    exposed = text_of(Exposition(full(workers=workers)).collect())
    assert {labels["pool"]: n for labels, n in samples(exposed, "pointsman_workers_up")} == {
        "email": 1,
        "other": 2,
    }


def test_plain_runs_are_counted_apart_from_tasks() -> None:
    plain = {"native": 11.0, "native_succeeded": 5.0, "native_failed": 3.0, "native_retried": 2.0}
    part = sums(submitted=2.0, succeeded=7.0, failed=3.0, retried=4.0)
    part.counts.update(plain)
    exposed = text([part])
    assert value(exposed, "pointsman_tasks_succeeded_total") == 2
    assert value(exposed, "pointsman_tasks_failed_total") == 0
    assert value(exposed, "pointsman_attempts_retried_total") == 2
    assert value(exposed, "pointsman_native_runs_total") == 11
    assert value(exposed, "pointsman_native_runs_succeeded_total") == 5
    assert value(exposed, "pointsman_native_runs_failed_total") == 3
    assert value(exposed, "pointsman_native_runs_retried_total") == 2


def test_what_became_of_tasks_and_of_predictions_is_counted() -> None:
    part = sums(predicted=20.0, kept=19.0, kept_p50=9.0, held=4.0, held_seconds_sum=7.5, rescued=3.0)
    part.counts["cancelled_running"] = 2.0
    exposed = text([part], kinds=[("b", "email")])
    told = {
        "predictions": 20, "tasks_held": 4, "tasks_held_seconds": 7.5, "tasks_rescued": 3, "tasks_cancelled_running": 2,
    }  # fmt: skip
    for name, number in told.items():
        assert value(exposed, f"pointsman_{name}_total", **EMAIL) == number
        assert value(exposed, f"pointsman_{name}_total", task_type="b") == 0
    kept = {labels["bound"]: n for labels, n in samples(exposed, "pointsman_predictions_kept_total", **EMAIL)}
    assert kept == {"p95": 19, "p50": 9}
    assert len(samples(exposed, "pointsman_predictions_kept_total", task_type="b")) == 2


def test_predictions_are_told_with_what_came_of_them() -> None:
    samples = {
        (sample.name, sample.labels.get("queue"), sample.labels.get("bound")): sample.value
        for family in Exposition(full(targets={"email": 5.0, "reports": 60.0})).collect()
        for sample in family.samples
        if "prediction" in sample.name and family.type == "gauge"
    }
    error = samples.pop(("pointsman_prediction_median_error_seconds", "email", None))
    assert 0.47 < error < 0.53
    assert samples == {
        ("pointsman_predictions_compared", "email", None): 20,
        ("pointsman_predictions_compared", "reports", None): 0,
        ("pointsman_prediction_coverage_ratio", "email", "p50"): 0.45,
        ("pointsman_prediction_coverage_ratio", "email", "p95"): 0.95,
    }
