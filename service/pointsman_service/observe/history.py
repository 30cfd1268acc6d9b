"""What QueueMetrics and WorkerMetrics say over a window, step by step. A step without a sample is a gap, no zero."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pointsman_service.store import clock
from pointsman_service.store.metrics import history
from pointsman_service.store.metrics.history import QUEUE_FIGURES, WORKER_FIGURES, Of, PointRow
from pointsman_service.store.store import Store

MOST_POINTS = 1500
"""Of one queue or pool: a day of minutes, and a bit."""
MOST_POINTS_IN_ALL = 12_000
_USUAL_POINTS = 120
_SETTLED = timedelta(minutes=45)
"""A sample that could not be written is kept for half an hour, and is then written with all others: what lies so long
before the newest is whole."""
_MOST_KNOWN = 16
"""Questions whose steps are remembered: some hundred kilobytes each."""
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_USUAL_STEPS = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86_400, 7 * 86_400, 30 * 86_400)
_FIGURES: Mapping[Of, tuple[str, ...]] = {"queue": QUEUE_FIGURES, "pool": WORKER_FIGURES}


@dataclass(frozen=True, slots=True)
class Figure:
    """What the samples of one figure came to within one step."""

    avg: float
    low: float
    high: float
    last: float


@dataclass(frozen=True, slots=True)
class Point:
    """One step."""

    at: datetime
    """When it begins."""
    samples: int
    """How often anything was seen; 0: nobody looked, and nothing is known."""
    figures: dict[str, Figure | None]
    """None: not known."""


@dataclass(frozen=True, slots=True)
class History:
    """A window."""

    since: datetime
    until: datetime
    sampled_at: datetime | None
    """When anything was last written down."""
    points: dict[str, list[Point]]
    """By queue or pool, every step of the window."""

    @property
    def seen(self) -> bool:
        """Whether anybody looked at any of them in the window."""
        return any(point.samples for points in self.points.values() for point in points)


def usual_step(window_seconds: float) -> int:
    """The shortest usual step that makes at most 120 points of a window."""
    return next((step for step in _USUAL_STEPS if window_seconds / step <= _USUAL_POINTS), _USUAL_STEPS[-1])


def steps_of(since: datetime, until: datetime, step_seconds: int) -> Iterator[datetime]:
    """When each step begins that lies at least partly in a window; counted from the first moment of 2000. A window that
    is shorter than clocks can tell is of the step before its end.
    """
    step = timedelta(seconds=step_seconds)
    at = _EPOCH + (min(since, until - timedelta.resolution) - _EPOCH) // step * step
    while at < until:
        yield at
        at += step


def points_of(rows: Iterable[PointRow], steps: Sequence[datetime], figures: Sequence[str]) -> list[Point]:
    """The points of one queue or pool, one for each step."""
    found: dict[datetime, dict[str, PointRow]] = {}
    for row in rows:
        found.setdefault(row.at, {})[row.figure] = row
    return [
        Point(
            at,
            max((row.samples for row in found.get(at, {}).values()), default=0),
            {figure: _figure(found.get(at, {}).get(figure)) for figure in figures},
        )
        for at in steps
    ]


def _figure(row: PointRow | None) -> Figure | None:
    if row is None or row.samples == 0:
        return None
    return Figure(*(round(value, 6) for value in (row.total / row.samples, row.low, row.high, row.last)))


_Key = tuple[Of, str | None, int]
"""Of what, the one queue or pool that was asked for, and the step."""
_Known = dict[datetime, list[tuple[str, Point]]]
"""By the beginning of a step, its points."""


class HistoryWatch:
    """Reads samples, and remembers steps to which nobody adds any more: a day of minutes is much to add up again and
    again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[_Key, _Known] = OrderedDict()

    async def read(
        self,
        of: Of,
        names: Iterable[str],
        window_seconds: float,
        step_seconds: int,
        until: datetime | None = None,
        name: str | None = None,
    ) -> History:
        """Every step of the window for each of these ``names`` and whoever else was seen in it; for ``name`` alone
        where one is given. The window ends ``until``, by default now. Raises the store's errors.
        """
        async with self._store.statement() as connection:
            now = datetime.fromtimestamp(await clock.now(connection), UTC)
            ends = now if until is None else min(until, now)
            steps = list(steps_of(ends - timedelta(seconds=window_seconds), ends, step_seconds))
            # Before the samples: they lack nothing of what was written by then.
            sampled_at = await history.sampled_at(connection, of)
            known = self._of((of, name, step_seconds))
            asked = next((place for place, at in enumerate(steps) if at not in known), len(steps))
            rows = []
            if asked < len(steps):
                rows = await history.read(connection, of, step_seconds, steps[asked], ends, name)
        fresh = _by_step(rows, steps[asked:], _FIGURES[of])
        if sampled_at is not None:
            self._remember(known, fresh, min(ends, sampled_at - _SETTLED) - timedelta(seconds=step_seconds))
        by_step = {at: fresh[at] if at in fresh else known[at] for at in steps}
        return History(steps[0], ends, sampled_at, _whole(by_step, [name] if name is not None else names, _FIGURES[of]))

    def _of(self, key: _Key) -> _Known:
        known = self._known.setdefault(key, {})
        self._known.move_to_end(key)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return known

    def _remember(self, known: _Known, fresh: _Known, last: datetime) -> None:
        """Those that begin at ``last`` or before."""
        known |= {at: points for at, points in fresh.items() if at <= last}
        for at in sorted(known)[:-MOST_POINTS]:
            del known[at]


def _by_step(rows: Iterable[PointRow], steps: Sequence[datetime], figures: Sequence[str]) -> _Known:
    by_name: dict[str, list[PointRow]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    found: _Known = {at: [] for at in steps}
    for name, rows_of in by_name.items():
        for point in points_of(rows_of, steps, figures):
            if point.samples:
                found[point.at].append((name, point))
    return found


def _whole(by_step: _Known, names: Iterable[str], figures: Sequence[str]) -> dict[str, list[Point]]:
    """Every step of each of these names, and of those that were seen."""
    seen = sorted({name for points in by_step.values() for name, _ in points})
    nothing = dict.fromkeys(figures)
    found: dict[str, dict[datetime, Point]] = {name: {} for name in (*names, *seen)}
    for at, points in by_step.items():
        for name, point in points:
            found[name][at] = point
    return {name: [known.get(at) or Point(at, 0, {**nothing}) for at in by_step] for name, known in found.items()}
