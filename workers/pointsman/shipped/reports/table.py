"""Figures as CSV (RFC 4180), one row for each thing counted."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pointsman.shipped.reports.figures import Figures

COLUMNS = (
    "submitted", "started", "succeeded", "failed", "cancelled", "expired", "retry_count", "timed_out",
    "success_rate", "sla_met", "sla_missed", "sla_attainment",
    "queue_wait_avg_seconds", "queue_wait_p50_seconds", "queue_wait_p95_seconds", "queue_wait_p99_seconds",
    "run_avg_seconds", "run_p50_seconds", "run_p95_seconds", "run_p99_seconds",
)  # fmt: skip
_DIGITS = 6


def columns(figures: Figures) -> dict[str, Any]:
    """The values of ``COLUMNS``."""
    found: dict[str, Any] = {name: getattr(figures, name) for name in COLUMNS if hasattr(figures, name)}
    for prefix, durations in (("queue_wait", figures.queue_wait_seconds), ("run", figures.run_seconds)):
        found |= {f"{prefix}_{name}_seconds": getattr(durations, name) for name in ("avg", "p50", "p95", "p99")}
    return found


def text(heads: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """The whole file. What is not known is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, heads)
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        # A spreadsheet would take it for a formula.
        return "'" + value
    return value
