"""What the demo would have left if it had run for three hours: sums by minute, and samples of queues and pools."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from pointsman_service.embedded.demo.day import Moment
from pointsman_service.store.metrics import history
from pointsman_service.store.metrics.histogram import bucket_of
from pointsman_service.store.metrics.history import Of, Sampled
from pointsman_service.store.store import Store

_MINUTES = 180
_KINDS = (
    ("shop.confirm_order", "high_priority", 60.0, 0.05),
    ("shop.charge", "external_api", 44.0, 0.02),
    ("shop.send_receipt", "email", 40.0, 0.07),
    ("shop.block_card", "critical", 14.0, 0.03),
    ("shop.remind_of_cart", "email", 12.0, 0.07),
    ("shop.fetch_rates", "external_api", 12.0, 0.13),
    ("shop.drop_carts", "maintenance", 10.0, 0.27),
    ("shop.write_statement", "reports", 2.4, 5.0),
    ("shop.index_articles", "maintenance", 0.8, 16.0),
)
"""Task types with their queue, how many came in a busy minute, and how many seconds most of them ran."""
_TARGETS = {"critical": 2, "high_priority": 3, "email": 5, "reports": 60, "external_api": 10, "maintenance": 300}
_INSERT = text(
    "INSERT INTO task_metrics (minute, task_type, queue, submitted, started, executions, succeeded, failed, sla_met,"
    " sla_missed, run_seconds_sum, queue_wait_seconds_sum, run_buckets, run_counts, wait_buckets, wait_counts)"
    " VALUES (:minute, :task_type, :queue, :tasks, :tasks, :tasks, :succeeded, :failed, :met, :missed, :run, :wait,"
    " :run_buckets, :run_counts, :wait_buckets, :wait_counts) ON CONFLICT DO NOTHING"
)


async def fill(store: Store, rng: random.Random) -> None:
    """Write it. Days of this past are three hours long, so that a chart of them has more than one."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    sampled: dict[Of, list[Sampled]] = {"queue": [], "pool": []}
    rows: list[dict[str, Any]] = []
    for ago in range(_MINUTES, 0, -1):
        minute = now - timedelta(minutes=ago)
        busy = Moment((_MINUTES - ago) / _MINUTES * 720.0).busy
        made = [_row(minute, kind, busy, rng) for kind in _KINDS]
        rows += [row for row in made if row["tasks"]]
        for queue in _TARGETS:
            sampled["queue"] += _samples(queue, minute, _of_queue(queue, made, rng))
            sampled["pool"] += _samples(queue, minute, {"utilization": min(1.0, _busy_seconds(queue, made) / 60)})
    async with store.transaction() as connection:
        await connection.execute(_INSERT, rows)
        for of, found in sampled.items():
            await history.add(connection, of, found)


def _row(minute: datetime, kind: tuple[str, str, float, float], busy: float, rng: random.Random) -> dict[str, Any]:
    task_type, queue, most, usual = kind
    tasks = sum(rng.random() < 0.8 for _ in range(round(most * busy + rng.random())))
    runs = [usual * rng.lognormvariate(0, 0.5) for _ in range(tasks)]
    waits = [min(_TARGETS[queue] * 1.5, rng.expovariate(8 / _TARGETS[queue])) for _ in range(tasks)]
    missed = sum(wait > _TARGETS[queue] for wait in waits)
    failed = 0  # Nothing tells what it would have failed with.
    found = {"minute": minute, "task_type": task_type, "queue": queue, "tasks": tasks, "failed": failed}
    found |= {
        "succeeded": tasks - failed,
        "met": tasks - missed,
        "missed": missed,
        "run": sum(runs),
        "wait": sum(waits),
    }
    for name, seconds in (("run", runs), ("wait", waits)):
        counted = _histogram(seconds)
        found |= {f"{name}_buckets": list(counted), f"{name}_counts": list(counted.values())}
    return found


def _histogram(seconds: list[float]) -> dict[int, int]:
    buckets = sorted(bucket_of(one) for one in seconds)
    return {bucket: buckets.count(bucket) for bucket in buckets}


def _busy_seconds(queue: str, made: list[dict[str, Any]]) -> float:
    return float(sum(row["run"] for row in made if row["queue"] == queue))


def _of_queue(queue: str, made: list[dict[str, Any]], rng: random.Random) -> dict[str, float]:
    rate = sum(row["tasks"] for row in made if row["queue"] == queue) / 60
    missed = any(row["missed"] for row in made if row["queue"] == queue)
    depth = float(rng.choice((0, 0, 1, 2)) + missed * 4)
    oldest = _TARGETS[queue] * (1.2 if missed else 0.2) * min(depth, 1.0)
    return {
        "depth": depth, "waiting": 0.0, "on_broker": depth, "running": min(1.0, rate), "held": 0.0, "window": 200.0,
        "oldest_wait_seconds": oldest, "arrival_rate": rate, "service_rate": rate, "consumers": 1.0,
    }  # fmt: skip


def _samples(name: str, minute: datetime, figures: dict[str, float]) -> Iterator[Sampled]:
    at = minute + timedelta(seconds=59)
    for figure, value in figures.items():
        yield Sampled(name, figure, minute, 30, value * 30, value, value, value, at)
