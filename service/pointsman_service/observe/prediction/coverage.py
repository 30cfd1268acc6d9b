"""How good predictions were: what was promised beside what came."""

from dataclasses import dataclass

from pointsman_service.store.metrics import predictions
from pointsman_service.store.metrics.histogram import merge, percentile
from pointsman_service.store.metrics.predictions import Tally
from pointsman_service.store.store import Store


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of one queue, or of all."""

    compared: int
    """Sampled predictions of which it is known whether the task started within the p95."""
    within_p50: float | None
    """Share of them, 0 to 1; promised is 0.5. None when none was compared, like the next two."""
    within_p95: float | None
    """Promised is 0.95."""
    median_error_seconds: float | None
    """Half of the p50s were no further from the wait than this; within 5 %."""


def coverage(tally: Tally) -> Coverage:
    """From the counts."""
    error = percentile(tally.errors or {}, 0.5)
    if not tally.compared:
        return Coverage(0, None, None, None if error is None else round(error, 6))
    return Coverage(
        tally.compared,
        round(tally.within_p50 / tally.compared, 6),
        round(tally.within_p95 / tally.compared, 6),
        None if error is None else round(error, 6),
    )


def total(tallies: list[Tally]) -> Tally:
    """All together."""
    return Tally(
        sum(tally.compared for tally in tallies),
        sum(tally.within_p50 for tally in tallies),
        sum(tally.within_p95 for tally in tallies),
        merge(*((tally.errors or {}).items() for tally in tallies)),
    )


async def read(store: Store, window_seconds: float) -> dict[str, Tally]:
    """By queue, over a window up to now (``store.metrics.predictions.compared``). Raises the store's errors."""
    async with store.statement() as connection:
        return await predictions.compared(connection, window_seconds)
