"""A server that answers like the API's metrics, from figures of the test."""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.peers.http import HTTPPeer, Recorded, Reply

QUEUES = {
    "critical": 2.0,
    "high_priority": 3.0,
    "email": 5.0,
    "reports": 60.0,
    "external_api": 10.0,
    "maintenance": 300.0,
}
TYPES = {
    "send_reminder_email": "email", "create_scheduled_reports": "reports", "http_request": "external_api",
    "cleanup_cache": "maintenance", "auto_close_jobs": "critical", "verify_identity": "high_priority",
    "process_mqtt_message": "external_api",
}  # fmt: skip

PerDay = Callable[[datetime, str], dict[str, Any] | None]
"""The figures of one task type on one day; None when it did nothing."""


def group(tasks: int, failed: int = 0, missed: int = 0, wait: float = 0.1, run: float = 0.2) -> dict[str, Any]:
    """The figures of so many tasks."""
    return {
        "submitted": tasks, "started": tasks, "execution_count": tasks, "succeeded": tasks - failed, "failed": failed,
        "cancelled": 0, "expired": 0, "retry_count": failed * 2, "timed_out": 0, "interrupted": 0,
        "duplicates": 0, "native": 0, "success_rate": None, "failure_rate": None,
        "sla_met": tasks - missed, "sla_missed": missed, "sla_attainment": None,
        "run_seconds": _durations(run), "queue_wait_seconds": _durations(wait),
    }  # fmt: skip


def _durations(median: float) -> dict[str, float]:
    return {"avg": median * 1.2, "p50": median, "p95": median * 3, "p99": median * 5}


def serve(peer: HTTPPeer, per_day: PerDay) -> None:
    """Let the peer answer queues and metrics. A window is as much of a day's figures as it is of the day."""

    def metrics(request: Recorded) -> Reply:
        window = timedelta(seconds=float(request.query["window_seconds"][0]))
        end = datetime.fromisoformat(request.query["until"][0])
        by = request.query["group_by"][0]
        found = [(name, _over(per_day, name, end - window, end)) for name in TYPES]
        known = [(name, figures) for name, figures in found if figures["submitted"]]
        if by == "queue":
            names = list(dict.fromkeys(TYPES[name] for name, _ in known))
            items = [{"queue": q} | _total([f for name, f in known if TYPES[name] == q]) for q in names]
        else:
            items = [{"task_type": name} | figures for name, figures in known]
        return Reply.of({"items": items, "totals": _total([figures for _, figures in known]), "next_cursor": None})

    queues = [{"name": name, "sla_seconds": seconds, "depth": 0} for name, seconds in QUEUES.items()]
    peer.on("/v1/queues", Reply.of({"items": queues, "next_cursor": None}))
    peer.on("/v1/metrics/tasks", metrics)


def _over(per_day: PerDay, name: str, start: datetime, end: datetime) -> dict[str, Any]:
    parts = []
    at = start
    while at < end:
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        until = min(end, midnight + timedelta(days=1))
        figures = per_day(at, name)
        if figures is not None:
            share = (until - at) / timedelta(days=1)
            counts = {
                name: math.floor(value * share + 1e-9) for name, value in figures.items() if isinstance(value, int)
            }
            parts.append(figures | counts)
        at = until
    return _total(parts)


def _total(parts: list[dict[str, Any]]) -> dict[str, Any]:
    if not parts:
        nothing = {"avg": None, "p50": None, "p95": None, "p99": None}
        return group(0) | {"run_seconds": nothing, "queue_wait_seconds": nothing}
    total = group(0)
    for name, value in total.items():
        if isinstance(value, int):
            total[name] = sum(part[name] for part in parts)
    for name in ("run_seconds", "queue_wait_seconds"):
        total[name] = {key: max(part[name][key] for part in parts) for key in total[name]}
    return total
