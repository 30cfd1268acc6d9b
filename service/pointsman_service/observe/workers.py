"""Which workers live and how busy they are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pointsman_contract.events import Beat
from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.breaker.outlier import OFF
from pointsman_service.fleet.liveness import Liveness, Verdict
from pointsman_service.observe.broker_state import BrokerState, BrokerWatch
from pointsman_service.observe.kept import Kept
from pointsman_service.observe.roles import RECONCILER, STAND_IN
from pointsman_service.settings import Settings
from pointsman_service.store.breakers import ejections
from pointsman_service.store.breakers.ejections import EjectionRow
from pointsman_service.store.metrics import watching
from pointsman_service.store.store import Store
from pointsman_service.store.streams import epochs

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
    live: bool | None
    """None when it is not known: nobody has watched for long enough."""
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
    owner: str = ""
    """What it is called in this life: its name and a part that is drawn at its start. Tasks name it so."""
    contract: int | None = None
    """The version of the contract that it speaks; None when that is not known."""
    left: bool | None = None
    """Whether it went in order: it said good-bye, or is about to. None when that is not known."""


def worker_figures(
    rows: Iterable[Mapping[str, Any]],
    broker: BrokerState,
    dead_seconds: float,
    held: Mapping[str, EjectionRow] | None = None,
    liveness: Liveness | None = None,
    *,
    are_fed: bool = True,
    beats_seconds: float | None = None,
) -> list[WorkerFigures]:
    """From ``watching.workers``, by name, and from the ejections of workers by name. A silent worker whose successor
    lives is left out.

    ``liveness`` is what this process has seen by itself; ``are_fed``: whether a reconciler writes down whom it sees.
    Of a worker that neither saw lately nothing is known.

    ``beats_seconds``: for how long Redis, which has their beats, is the one that it is. Who ends in order takes its
    beat away, and who falls silent leaves it there; one that was last seen before may have lost it with an earlier one.

    A successor has its name; or, after a rolling restart, its pool on its host, when it took its own beat away as a
    worker does that ends in order.
    """
    rows = list(rows)
    # What was written down last: who was silent by then for long is dead, whoever looks since.
    newest = 0.0 if are_fed and broker.up else min((row["heartbeat_age_seconds"] for row in rows), default=0.0)
    judge = partial(_judge, broker=broker, dead_seconds=dead_seconds, liveness=liveness, newest=newest)
    figures = []
    for row in rows:
        beat = broker.beats.get(row["owner"])
        left = _left(row, beat, broker, beats_seconds)
        age, lives = judge(row)
        if left and beat is None:
            # It runs nothing any more.
            lives = False
        held_off = (held or {}).get(row["name"])
        figures.append((row["owner"], _figures(row, broker, age, lives, left, held_off)))
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


def consumers(workers: Iterable[WorkerFigures], queue: str) -> int | None:
    """Processes of live workers on ``queue`` that are neither ejected nor about to go; None when it is not known
    whether there is one.
    """
    there = [worker for worker in workers if queue in worker.queues and not worker.ejected and not worker.left]
    living = sum(worker.processes for worker in there if worker.live)
    return None if not living and any(worker.live is None for worker in there) else living


def kept_off(workers: Iterable[WorkerFigures], queue: str) -> list[str]:
    """The names of live workers that are taken off ``queue``."""
    return sorted(
        worker.name
        for worker in workers
        if queue in worker.queues and worker.live and worker.ejected and not worker.left
    )


def _judge(
    row: Mapping[str, Any], broker: BrokerState, dead_seconds: float, liveness: Liveness | None, newest: float
) -> tuple[float, bool | None]:
    """Since when it is silent, and whether it lives."""
    age: float = row["heartbeat_age_seconds"]
    verdict = None if liveness is None else liveness.verdict(row["owner"])
    if verdict is Verdict.LIVES and broker.up and liveness is not None:
        return min(age, liveness.silent_seconds(row["owner"]) or 0.0), True
    if age < dead_seconds:
        return age, True
    return age, False if verdict is Verdict.DEAD or age - newest >= dead_seconds else None


def _left(row: Mapping[str, Any], beat: Beat | None, broker: BrokerState, seconds: float | None) -> bool | None:
    """Whether it went in order. ``seconds``: for how long Redis is the one that it is."""
    if broker.depths is None or broker.depths.epoch is None or row["owner"] in broker.unreadable:
        return None
    if beat is not None:
        return bool(beat.get("stopping"))
    return True if seconds is not None and row["heartbeat_age_seconds"] < seconds else None


def _figures(
    row: Mapping[str, Any],
    broker: BrokerState,
    age: float,
    live: bool | None,
    left: bool | None,
    held: EjectionRow | None,
) -> WorkerFigures:
    # The beat of a dead worker stays in Redis for a while: nothing it names is known to run.
    busy = broker.busy.get(row["owner"]) if live and broker.up else None
    return WorkerFigures(
        name=row["name"],
        pool=row["pool"],
        queues=list(row["queues"]),
        processes=row["processes"],
        busy=busy,
        utilization=None if busy is None else min(1.0, busy / max(row["processes"], 1)),
        heartbeat_age_seconds=round(age, 3),
        live=live,
        pid=row["pid"],
        host=row["host"],
        started_at=row["started_at"],
        **_ejection(held),
        fetching=None if busy is None else row["owner"] not in broker.ejected and not left,
        owner=row["owner"],
        contract=row.get("contract"),
        left=left,
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

    def __init__(self, store: Store, broker: BrokerWatch, settings: Settings, liveness: Liveness | None = None) -> None:
        self._store = store
        self._broker = broker
        self.liveness = liveness
        """What this process sees of the workers itself."""
        self._dead_seconds = settings.worker_dead_seconds
        self._kept = Kept(self.look, _KEPT_SECONDS)

    async def read(self) -> list[WorkerFigures]:
        """All workers seen lately. Raises the store's errors."""
        return await self._kept.get()

    async def look(self) -> list[WorkerFigures]:
        """The same, asked now and for this caller alone: who is cancelled takes the question back."""
        broker = await self._broker.state()
        async with self._store.statement() as connection:
            rows = await watching.workers(connection, _SHOWN_SECONDS)
            held = {row.name: row for row in await ejections.ejections(connection)}
            leads = await watching.leads(connection)
            epoch = await epochs.current(connection)
        are_fed = any(leads[name].left_seconds > 0 for name in (RECONCILER, STAND_IN) if name in leads)
        seconds = None if epoch is None else epoch.open_seconds
        return worker_figures(
            rows, broker, self._dead_seconds, held, self.liveness, are_fed=are_fed, beats_seconds=seconds
        )
