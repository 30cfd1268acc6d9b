"""Which workers live and how busy they are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.breaker.outlier import OFF
from pointsman_service.observe.broker_state import BrokerState, BrokerWatch
from pointsman_service.observe.kept import Kept
from pointsman_service.settings import Settings
from pointsman_service.store.breakers import ejections
from pointsman_service.store.breakers.ejections import EjectionRow
from pointsman_service.store.metrics import watching
from pointsman_service.store.store import Store

_KEPT_SECONDS = 1.0
_SHOWN_SECONDS = 3600.0
"""A worker that fell silent is still shown for so long."""


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """One worker parent."""

    name: str
    pool: str
    queues: list[str]
    processes: int
    busy: int | None
    """Attempts under way by its newest beat; None when that is not known."""
    utilization: float | None
    """Busy processes, 0 to 1."""
    heartbeat_age_seconds: float
    live: bool
    pid: int
    host: str
    started_at: datetime
    ejected: bool = False
    """Taken off its queues."""
    on_probation: bool = False
    """Let back after it was ejected, and not admitted for good yet."""
    ejected_since: datetime | None = None
    """Or since when it is on probation."""
    ejected_reason: str | None = None
    ejected_until: datetime | None = None
    """None: until somebody admits it."""
    fetching: bool | None = None
    """Whether it takes new tasks, by its newest beat; None when that is not known."""


def worker_figures(
    rows: Iterable[Mapping[str, Any]],
    broker: BrokerState,
    dead_seconds: float,
    held: Mapping[str, EjectionRow] | None = None,
) -> list[WorkerFigures]:
    """From ``watching.workers``, by name, and from the ejections of workers by name. A silent worker whose successor
    lives is left out.

    A successor has its name; or, after a rolling restart, its pool on its host, when it took its own beat away as a
    worker does that ends in order.
    """
    figures = [(row["owner"], _figures(row, broker, dead_seconds, (held or {}).get(row["name"]))) for row in rows]
    live = {worker.name for _, worker in figures if worker.live}
    places = {(worker.pool, worker.host) for _, worker in figures if worker.live}
    return [
        worker
        for owner, worker in figures
        if worker.live
        or not (
            worker.name in live or ((worker.pool, worker.host) in places and broker.up and owner not in broker.busy)
        )
    ]


def consumers(workers: Iterable[WorkerFigures], queue: str) -> int:
    """Processes of live workers on ``queue`` that are not ejected."""
    return sum(worker.processes for worker in workers if worker.live and not worker.ejected and queue in worker.queues)


def _figures(
    row: Mapping[str, Any], broker: BrokerState, dead_seconds: float, held: EjectionRow | None
) -> WorkerFigures:
    live = row["heartbeat_age_seconds"] < dead_seconds
    # The beat of a dead worker stays in Redis for a while: nothing it names is known to run.
    busy = broker.busy.get(row["owner"]) if live and broker.up else None
    return WorkerFigures(
        name=row["name"],
        pool=row["pool"],
        queues=list(row["queues"]),
        processes=row["processes"],
        busy=busy,
        utilization=None if busy is None else min(1.0, busy / max(row["processes"], 1)),
        heartbeat_age_seconds=round(row["heartbeat_age_seconds"], 3),
        live=live,
        pid=row["pid"],
        host=row["host"],
        started_at=row["started_at"],
        **_ejection(held),
        fetching=None if busy is None else row["owner"] not in broker.ejected,
    )


def _ejection(held: EjectionRow | None) -> dict[str, Any]:
    if held is None or held.seen == BreakerState.DISABLED:
        return {}
    return {
        "ejected": BreakerState(held.seen) in OFF,
        "on_probation": held.seen == BreakerState.HALF_OPEN,
        "ejected_since": datetime.fromtimestamp(held.since, UTC),
        "ejected_reason": held.reason,
        "ejected_until": None if held.until is None else datetime.fromtimestamp(held.until, UTC),
    }


class WorkerWatch:
    """Looks at most once a second."""

    def __init__(self, store: Store, broker: BrokerWatch, settings: Settings) -> None:
        self._store = store
        self._broker = broker
        self._dead_seconds = settings.worker_dead_seconds
        self._kept = Kept(self._look, _KEPT_SECONDS)

    async def read(self) -> list[WorkerFigures]:
        """All workers seen lately. Raises the store's errors."""
        return await self._kept.get()

    async def _look(self) -> list[WorkerFigures]:
        broker = await self._broker.state()
        async with self._store.statement() as connection:
            rows = await watching.workers(connection, _SHOWN_SECONDS)
            held = {row.name: row for row in await ejections.ejections(connection)}
        return worker_figures(rows, broker, self._dead_seconds, held)
