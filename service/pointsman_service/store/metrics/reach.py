"""Which rows of which resolution a window is the sum of: days or hours in its middle, minutes at its edges.

Pure. Moments are aware and UTC.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

EVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Before everything."""
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""After everything; the begin of a day."""
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

Resolution = Literal["minute", "hour", "day"]
_NAMES: dict[timedelta, Resolution] = {MINUTE: "minute", HOUR: "hour", DAY: "day"}


class Span(NamedTuple):
    """From a moment until before another; empty when they are one."""

    since: datetime
    before: datetime


_NOTHING = Span(NEVER, NEVER)


@dataclass(frozen=True, slots=True)
class Kept:
    """How far back each resolution goes (``store.models.TaskMetricsKept``)."""

    minutes_since: datetime = EVER
    hours_since: datetime = EVER
    days_since: datetime = EVER
    carried_to: datetime | None = EVER

    @property
    def is_carried(self) -> bool:
        """Whether hours and days are complete."""
        return self.carried_to is not None and self.carried_to <= EVER

    def unit_at(self, moment: datetime) -> timedelta:
        """How finely the time around a moment can be cut."""
        if moment >= self.minutes_since:
            return MINUTE
        return HOUR if self.is_carried and moment >= self.hours_since else DAY


@dataclass(frozen=True, slots=True)
class Reach:
    """What is read for a window. No moment is in two of the spans, and together they are the window."""

    begins: datetime
    ends: datetime
    """``NEVER`` when the window has no end."""
    unit: timedelta
    """How finely it could be cut where that was coarsest."""
    old_days: Span = _NOTHING
    """Days from before those of which hours and days are complete; then in the order of time."""
    first_minutes: Span = _NOTHING
    first_hours: Span = _NOTHING
    days: Span = _NOTHING
    last_hours: Span = _NOTHING
    last_minutes: Span = _NOTHING

    @property
    def resolution(self) -> Resolution:
        """The name of ``unit``."""
        return _NAMES[self.unit]


def floor(moment: datetime, unit: timedelta) -> datetime:
    """The last moment that is not after this one and a multiple of ``unit``, which divides a day or is one."""
    since = moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return moment - since % unit


def ceil(moment: datetime, unit: timedelta) -> datetime:
    """The first multiple of ``unit`` that is not before this moment."""
    before = floor(moment, unit)
    return moment if before == moment else before + unit


def reach(begins: datetime, ends: datetime, kept: Kept) -> Reach:
    """What to read for the window; a minute that lies partly in it counts whole, and so does an hour or a day where
    nothing finer is kept. It begins no earlier than what is kept.
    """
    begins = max(begins, kept.days_since)
    ends = max(ends, begins)
    unit, end_unit = kept.unit_at(begins), kept.unit_at(ends)
    begins, ends = floor(begins, unit), ceil(ends, end_unit)
    old_days, uncarried, rest = _before_carried(begins, ends, kept)
    first_hour = min(ceil(rest, HOUR), ends)
    last_hour = max(floor(ends, HOUR), first_hour)
    first_day = min(ceil(first_hour, DAY), last_hour)
    last_day = max(floor(last_hour, DAY), first_day)
    return Reach(
        begins,
        ends,
        max(unit, end_unit),
        old_days,
        uncarried if uncarried.since < uncarried.before else Span(rest, first_hour),
        Span(first_hour, first_day),
        Span(first_day, last_day),
        Span(last_day, last_hour),
        Span(last_hour, ends),
    )


def stepped(begins: datetime, ends: datetime, step: timedelta, kept: Kept) -> tuple[Reach, timedelta]:
    """What to read for steps of the window, each whole, and their length: longer than ``step``, which divides a day,
    where nothing finer is kept.
    """
    step = max(step, kept.unit_at(max(begins, kept.days_since)))
    begins, ends = floor(max(begins, kept.days_since), step), ceil(ends, step)
    ends = max(ends, begins)
    old_days, uncarried, rest = _before_carried(begins, ends, kept)
    last = Span(rest, ends)
    unit = next(unit for unit in (DAY, HOUR, MINUTE) if not step % unit)
    return Reach(
        begins,
        ends,
        max(unit, kept.unit_at(begins), kept.unit_at(ends)),
        old_days,
        uncarried,
        days=last if unit == DAY else _NOTHING,
        last_hours=last if unit == HOUR else _NOTHING,
        last_minutes=last if unit == MINUTE else _NOTHING,
    ), step


def everything(kept: Kept) -> Reach:
    """What to read for all that was ever counted."""
    old_days, uncarried, rest = _before_carried(EVER, NEVER, kept)
    return Reach(EVER, NEVER, DAY, old_days, uncarried, days=Span(rest, NEVER))


def _before_carried(begins: datetime, ends: datetime, kept: Kept) -> tuple[Span, Span, datetime]:
    """The old days and the minutes before hours and days are complete, and where the rest begins."""
    if kept.is_carried:
        return _NOTHING, _NOTHING, begins
    carried = kept.carried_to or NEVER
    middle = min(max(begins, kept.minutes_since), ends)
    rest = min(max(begins, carried), ends)
    return Span(begins, middle), Span(middle, max(middle, rest)), rest
