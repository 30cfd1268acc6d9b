"""Average and percentiles of durations."""

from collections.abc import Mapping
from dataclasses import dataclass

from pointsman_service.store.metrics.histogram import percentiles

_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Durations:
    """In seconds; None when nothing was observed. Percentiles are within 5 %."""

    avg: float | None
    p50: float | None
    p95: float | None
    p99: float | None


def durations(histogram: Mapping[int, int], total_seconds: float) -> Durations:
    """From a histogram of ``pointsman_service.store.metrics.histogram`` and the sum of what is in it."""
    observations = sum(histogram.values())
    p50, p95, p99 = percentiles(histogram, (0.50, 0.95, 0.99))
    return Durations(
        avg=round(total_seconds / observations, _DIGITS) if observations else None,
        p50=_rounded(p50),
        p95=_rounded(p95),
        p99=_rounded(p99),
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, _DIGITS)
