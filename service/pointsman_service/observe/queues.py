"""Each queue: its target, its backlog, its rates and who works on it."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from pointsman_contract.queues import QueueSpec, Topology
from pointsman_contract.states import UNFINISHED, TaskState
from pointsman_service.broker import Depths
from pointsman_service.observe.backlog import Backlog, BacklogWatch
from pointsman_service.observe.broker_state import BrokerWatch
from pointsman_service.observe.kept import Kept, NotInTime, within
from pointsman_service.observe.set_aside import SetAside
from pointsman_service.observe.sla import attainment
from pointsman_service.observe.sla_watch import SlaFigures, SlaWatch
from pointsman_service.observe.task_metrics import read as read_sums
from pointsman_service.observe.workers import WorkerFigures, WorkerWatch, consumers
from pointsman_service.store.metrics.summing import Sums
from pointsman_service.store.queues import pausing
from pointsman_service.store.queues.pausing import QueuePause
from pointsman_service.store.store import DatabaseTrouble, Store

RATE_SECONDS = 300.0
MOST_REASONS = 20
"""Reasons to hold tasks that are told apart; a queue may have one for each of thousands of breakers."""
_KEPT_SECONDS = 1.5
_SLA_SECONDS = 1.0
_MOMENT_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class HeldFigures:
    """Tasks of one queue that are held for one reason."""

    reason: str | None
    """None: every other one together."""
    tasks: int


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """One queue."""

    name: str
    priority: int
    sla_seconds: float
    depth: int
    waiting: int
    """Those of ``depth`` that wait in PostgreSQL."""
    on_broker: int
    """Those of ``depth`` that were sent."""
    running: int
    window: int | None
    """So many may be on the broker at once; None when the broker does not answer."""
    oldest_wait_seconds: float | None
    arrival_rate: float
    """Tasks submitted, per second over the last five minutes."""
    service_rate: float
    """Attempts ended, per second over the last five minutes; plain Celery runs are not counted."""
    states: dict[str, int]
    """Unfinished tasks by state."""
    held_by: list[HeldFigures]
    """Those that are held by reason, the most first; at most ``MOST_REASONS`` and the rest."""
    sla_attainment: float | None
    consumers: int | None
    """Processes of live workers that take from it; None when it is not known whether there is one."""
    set_aside: int | None
    """Messages that nobody could run; None when that is not known."""
    paused: bool
    paused_at: datetime | None
    """None when it is not paused, like the next two."""
    paused_by: str | None
    pause_reason: str | None
    sla: SlaFigures | None = None
    """Against its objective over 30 days; None when that could not be added up in time."""


def queue_figures(
    specs: Iterable[QueueSpec],
    backlog: Mapping[str, Backlog],
    sums: Iterable[Sums],
    workers: Iterable[WorkerFigures],
    pauses: Iterable[QueuePause] = (),
    set_aside: Mapping[str, SetAside] | None = None,
    windows: Mapping[str, int] | None = None,
    slas: Iterable[SlaFigures] = (),
) -> list[QueueFigures]:
    """Every configured queue, the most urgent first."""
    by_objective = {one.queue: one for one in slas}
    workers = list(workers)
    by_queue = {part.queue: part for part in sums}
    paused = {pause.queue: pause for pause in pauses if pause.paused}
    return [
        _figures(
            spec,
            backlog.get(spec.name) or Backlog(),
            by_queue.get(spec.name),
            consumers(workers, spec.name),
            paused.get(spec.name),
            None if set_aside is None else set_aside[spec.name].open if spec.name in set_aside else 0,
            (windows or {}).get(spec.name),
            by_objective.get(spec.name),
        )
        for spec in sorted(specs, key=lambda spec: (-spec.priority, spec.name))
    ]


def _figures(
    spec: QueueSpec,
    backlog: Backlog,
    sums: Sums | None,
    processes: int | None,
    pause: QueuePause | None,
    set_aside: int | None,
    window: int | None,
    sla: SlaFigures | None,
) -> QueueFigures:
    counts = {} if sums is None else sums.counts
    per_second = 1 / sums.covered_seconds if sums is not None and sums.covered_seconds else 0.0
    oldest = backlog.oldest_wait_seconds
    return QueueFigures(
        name=spec.name,
        priority=spec.priority,
        sla_seconds=spec.sla_seconds,
        depth=backlog.depth,
        waiting=backlog.waiting,
        on_broker=backlog.on_broker,
        running=backlog.of(TaskState.RUNNING),
        window=window,
        oldest_wait_seconds=None if oldest is None else round(oldest, 3),
        arrival_rate=round(counts.get("submitted", 0.0) * per_second, 6),
        service_rate=round((counts.get("executions", 0.0) - counts.get("native", 0.0)) * per_second, 6),
        states={str(state): backlog.by_state.get(state, 0) for state in TaskState if state in UNFINISHED},
        held_by=_held_by(backlog.held_by),
        sla_attainment=attainment(counts.get("sla_met", 0.0), counts.get("sla_missed", 0.0)),
        consumers=processes,
        set_aside=set_aside,
        paused=pause is not None,
        paused_at=None if pause is None else pause.changed_at,
        paused_by=None if pause is None else pause.actor,
        pause_reason=None if pause is None else pause.reason,
        sla=sla,
    )


def windows_of(depths: Depths, initial: int) -> dict[str, int]:
    """How many messages of each queue may be on the broker; ``initial`` where nobody has measured its rate yet."""
    return {queue: initial if depth.limit is None else depth.limit for queue, depth in depths.queues.items()}


def _held_by(reasons: Mapping[str, int]) -> list[HeldFigures]:
    most_first = sorted(reasons.items(), key=lambda found: (-found[1], found[0]))
    shown = [HeldFigures(reason, tasks) for reason, tasks in most_first[:MOST_REASONS]]
    rest = sum(tasks for _, tasks in most_first[MOST_REASONS:])
    return [*shown, HeldFigures(None, rest)] if rest else shown


class QueueWatch:
    """The queues of one installation."""

    def __init__(
        self,
        store: Store,
        broker: BrokerWatch,
        backlog: BacklogWatch,
        workers: WorkerWatch,
        sla: SlaWatch,
        topology: Topology,
        window_initial: int,
    ) -> None:
        """``window_initial``: of a queue whose rate nobody has measured yet."""
        self._window_initial = window_initial
        self._sla = sla
        self._slas_known: list[SlaFigures] = []
        self._store = store
        self._broker = broker
        self._backlog = backlog
        self._workers = workers
        self._specs = topology.queues
        self._sums = Kept(self._read_sums, _KEPT_SECONDS)

    async def read(self) -> list[QueueFigures]:
        """Every queue. Raises the store's errors; the broker may be away."""
        backlog = await self._backlog.read()
        workers = await self._workers.read()
        async with self._store.statement() as connection:
            pauses = await pausing.pauses(connection)
        broker = await self._broker.state()
        windows = None if broker.depths is None else windows_of(broker.depths, self._window_initial)
        sums, slas = await self._sums.get(), await self._slas()
        return queue_figures(self._specs, backlog, sums, workers, pauses, broker.set_aside, windows, slas)

    async def _slas(self) -> list[SlaFigures]:
        # Whoever wants to know what waits is not to wait for 30 days: once they are known, they may be those of before.
        with suppress(DatabaseTrouble, NotInTime):
            self._slas_known = await within(_MOMENT_SECONDS if self._slas_known else _SLA_SECONDS, self._sla.read())
        return self._slas_known

    async def _read_sums(self) -> list[Sums]:
        return await read_sums(self._store, "queue", RATE_SECONDS)
