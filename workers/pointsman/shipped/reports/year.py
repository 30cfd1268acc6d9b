"""The figures of a year, day by day."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pointsman.shipped.control_plane import ControlPlaneAway
from pointsman.shipped.reports.archive import Day, Month
from pointsman.shipped.reports.figures import Figures, Metrics, add
from pointsman_client.errors import ClientError

if TYPE_CHECKING:
    from pointsman_client.sync.client import Client

_SETTLED = timedelta(minutes=15)
"""A day is kept when it has been over for so long: what happened in its last minute has been recorded by then."""
_DAY = timedelta(days=1)
_WORTH_ONE_LOOK = 4
"""Unknown days of a month above which the API is asked for all of them first: most years begin in the middle."""


@dataclass(frozen=True, slots=True)
class YearMonth:
    """One month of the year."""

    first: date
    days: dict[date, Day]
    """Those with figures."""

    @property
    def last(self) -> date:
        """The last day of the month."""
        return (self.first + timedelta(days=31)).replace(day=1) - _DAY

    @property
    def is_known(self) -> bool:
        """Whether any of its days has figures."""
        return bool(self.days)

    @property
    def total(self) -> Figures:
        """All of its days together; percentiles are those of the worst day."""
        return add(day.queues.totals for day in self.days.values())

    @property
    def queues(self) -> dict[str, Figures]:
        """By name."""
        return by_name(item for day in self.days.values() for item in day.queues.items)

    @property
    def task_types(self) -> dict[str, Figures]:
        """By name."""
        return by_name(item for day in self.days.values() for item in day.task_types.items)


@dataclass(frozen=True, slots=True)
class Year:
    """Twelve months. What the control plane no longer knows, and nobody kept, is missing and not zero."""

    number: int
    until: datetime
    """The months after this have not been yet."""
    queue_order: tuple[str, ...]
    months: tuple[YearMonth, ...]

    @classmethod
    def gather(
        cls, client: "Client", number: int, now: datetime, directory: Path, on_month: Callable[[int, str], None]
    ) -> Self:
        """Ask the API for the days that are not kept in ``directory``, and keep them there, month by month.

        ``on_month`` is told how many months are done and which one is next. Raises ``ClientError``, and
        ``ControlPlaneAway`` for answers that say nothing of it; what was kept by then stays.
        """
        months = []
        for month in range(12):
            first = date(number, month + 1, 1)
            on_month(month, f"{first:%B %Y}")
            months.append(_month(client, first, now, directory))
        names = [queue.name for queue in client.queues.list().items]
        return cls(number, now, tuple(names), tuple(months))

    @property
    def known_days(self) -> int:
        """Days with figures."""
        return sum(len(month.days) for month in self.months)

    @property
    def days_so_far(self) -> int:
        """Days of the year that have begun."""
        return min(max((self.until.date() - date(self.number, 1, 1)).days + 1, 0), _length(self.number))

    @property
    def total(self) -> Figures:
        """All of it together."""
        return add(month.total for month in self.months if month.is_known)

    @property
    def queues(self) -> list[Figures]:
        """The whole year by queue, the most urgent first."""
        found = by_name(item for month in self.months for item in month.queues.values())
        order = {name: place for place, name in enumerate(self.queue_order)}
        return sorted(found.values(), key=lambda item: (order.get(item.name, len(order)), item.name))

    @property
    def task_types(self) -> list[Figures]:
        """The whole year by task type, the busiest first."""
        found = by_name(item for month in self.months for item in month.task_types.values())
        return sorted(found.values(), key=lambda item: (-item.execution_count, item.name))

    def is_ahead(self, month: YearMonth) -> bool:
        """Whether the month has not begun."""
        return month.first > self.until.date()


def by_name(items: Iterable[Figures]) -> dict[str, Figures]:
    """The sums of those with the same name."""
    groups: dict[str, list[Figures]] = {}
    for item in items:
        groups.setdefault(item.name, []).append(item)
    return {name: add(group) for name, group in groups.items()}


def _month(client: "Client", first: date, now: datetime, directory: Path) -> YearMonth:
    kept = Month.read(directory, first)
    before = len(kept.days)
    days = [first + _DAY * n for n in range(31) if (first + _DAY * n).month == first.month]
    unknown = [day for day in days if _begin(day) < now and day not in kept.days]
    found = dict(kept.days)
    if len(unknown) > _WORTH_ONE_LOOK and _is_empty(client, days[0], days[-1], now):
        unknown = []
    for day in unknown:
        figures = _ask(client, day, now)
        if figures is not None:
            found[day] = figures
            if _begin(day + _DAY) + _SETTLED <= now:
                kept.days[day] = figures
    if len(kept.days) != before:
        kept.write(directory, first)
    return YearMonth(first, found)


def _is_empty(client: "Client", first: date, last: date, now: datetime) -> bool:
    """Whether the API knows of nothing in all these days. Not when it cannot say: so much may take it too long."""
    with suppress(ClientError, ControlPlaneAway):
        return Metrics.read(client, _begin(first), min(_begin(last + _DAY), now), "queue").totals.is_empty
    return False


def _ask(client: "Client", day: date, now: datetime) -> Day | None:
    """The figures of a day; None when there are none."""
    start, end = _begin(day), min(_begin(day + _DAY), now)
    queues = Metrics.read(client, start, end, "queue")
    if queues.totals.is_empty:
        return None
    return Day(queues=queues, task_types=Metrics.read(client, start, end, "task_type"))


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _length(number: int) -> int:
    return (date(number + 1, 1, 1) - date(number, 1, 1)).days
