"""How each queue does against its objective: attainment, error budget and burn."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from pointsman_contract.queues import QueueSpec
from pointsman_service.observe.kept import Kept
from pointsman_service.observe.sla import BUDGET_SECONDS, WINDOWS, Burn, Starts, attainment, objective_of
from pointsman_service.observe.task_metrics import TaskMetricsWatch
from pointsman_service.settings import Settings
from pointsman_service.store.alerts import facts
from pointsman_service.store.alerts.facts import StartsRow
from pointsman_service.store.metrics.summing import Sums
from pointsman_service.store.queues import overdue as overdue_tasks
from pointsman_service.store.queues.overdue import MOST_COUNTED, Overdue
from pointsman_service.store.store import Connection, Store

_KEPT_SECONDS = 5.0
_REST = 20.0
"""Looking takes at most a twentieth of one connection's time."""
_BUDGET_KEPT_SECONDS = 60.0
"""Of 30 days: asked more often they say the same."""


@dataclass(frozen=True, slots=True)
class BurnRate:
    """How fast the error budget was used within a window."""

    window_seconds: float
    rate: float | None
    """Times its even rate; None when nothing started."""
    starts: int
    missed: int


@dataclass(frozen=True, slots=True)
class SlaFigures:
    """One queue against its objective, over a window."""

    queue: str
    target_seconds: float
    objective: float
    """The share of first starts that should be within the target."""
    met: int
    missed: int
    """First starts past the target, and tasks that ended without one."""
    missed_and_waiting: int
    """Tasks past their target that have not started; not among ``missed``. At most ``MOST_COUNTED``."""
    missed_and_waiting_is_least: bool
    """Whether there may be more of them."""
    attainment: float | None
    """Those met of all, ``missed_and_waiting`` among them; None when there are none."""
    error_budget_left: float | None
    """The share of the window's error budget that is not used up; below 0 when more missed than may."""
    burn: tuple[BurnRate, ...]
    """Within 5 and 30 minutes, an hour and six."""


def burns(rows: Iterable[StartsRow], late: Mapping[str, Overdue]) -> dict[str, Burn]:
    """First starts by queue within each window, those that should have been among them."""
    counted = {row.queue: row for row in rows}
    none = (0.0,) * len(WINDOWS)
    found = {}
    for queue in counted.keys() | late.keys():
        row = counted.get(queue) or StartsRow(queue, none, none)
        waiting = late[queue].within if queue in late else (0,) * len(WINDOWS)
        found[queue] = Burn(
            *(Starts(met, missed + more) for met, missed, more in zip(row.met, row.missed, waiting, strict=True))
        )
    return found


def sla_figures(
    specs: Iterable[QueueSpec],
    default_objective: float,
    sums: Iterable[Sums],
    burn: Mapping[str, Burn],
    late: Mapping[str, Overdue],
) -> list[SlaFigures]:
    """Every configured queue, the most urgent first."""
    counted = {part.queue: part.counts for part in sums}
    return [
        _figures(
            spec,
            objective_of(spec, default_objective),
            counted.get(spec.name, {}),
            burn.get(spec.name) or Burn(),
            late[spec.name].tasks if spec.name in late else 0,
        )
        for spec in sorted(specs, key=lambda spec: (-spec.priority, spec.name))
    ]


def _figures(spec: QueueSpec, objective: float, counts: Mapping[str, float], burn: Burn, waiting: int) -> SlaFigures:
    met, missed = counts.get("sla_met", 0.0), counts.get("sla_missed", 0.0)
    every = Starts(met, missed + waiting)
    left = every.budget_left(objective)
    return SlaFigures(
        queue=spec.name,
        target_seconds=spec.sla_seconds,
        objective=objective,
        met=int(met),
        missed=int(missed),
        missed_and_waiting=waiting,
        missed_and_waiting_is_least=waiting >= MOST_COUNTED,
        attainment=attainment(every.met, every.missed),
        error_budget_left=None if left is None else round(left, 6),
        burn=tuple(_rate(seconds, starts, objective) for seconds, starts in burn.windows().items()),
    )


def _rate(seconds: float, starts: Starts, objective: float) -> BurnRate:
    rate = starts.burn_rate(objective)
    return BurnRate(seconds, None if rate is None else round(rate, 4), int(starts.total), int(starts.missed))


@dataclass(frozen=True, slots=True)
class Recent:
    """What changes from minute to minute."""

    burn: Mapping[str, Burn]
    late: Mapping[str, Overdue]


async def recent(connection: Connection, specs: Iterable[QueueSpec], unrecorded_seconds: float) -> Recent:
    """First starts of late, and the tasks that should have started. Raises the store's errors."""
    targets = {spec.name: spec.sla_seconds for spec in specs}
    late = await overdue_tasks.overdue(connection, targets, unrecorded_seconds)
    return Recent(burns(await facts.starts(connection), late), late)


class SlaWatch:
    """One installation's queues against their objectives. Keeps what it has read for a moment."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        lag: Callable[[], Awaitable[float | None]],
        task_metrics: TaskMetricsWatch,
    ) -> None:
        """``lag``: how far the recorder is behind, in seconds."""
        self._store = store
        self._task_metrics = task_metrics
        self._lag = lag
        self._specs = settings.topology.queues
        self._objective = settings.alert_sla_objective
        self._recent = Kept(self._read_recent, _KEPT_SECONDS, _REST)
        self._budget = Kept(self._read_budget, _BUDGET_KEPT_SECONDS, _REST)

    async def read(self) -> list[SlaFigures]:
        """Every queue over the 30 days of an error budget. Raises the store's errors."""
        now = await self._recent.get()
        return sla_figures(self._specs, self._objective, await self._budget.get(), now.burn, now.late)

    async def over(self, window_seconds: float) -> list[SlaFigures]:
        """Every queue over a window up to now, asked now. Raises the store's errors."""
        now = await self._recent.get()
        sums = (await self._task_metrics.windowed("queue", window_seconds)).sums
        return sla_figures(self._specs, self._objective, sums, now.burn, now.late)

    async def _read_recent(self) -> Recent:
        lag = await self._lag()
        async with self._store.statement() as connection:
            return await recent(connection, self._specs, lag or 0.0)

    async def _read_budget(self) -> list[Sums]:
        return (await self._task_metrics.windowed("queue", BUDGET_SECONDS)).sums
