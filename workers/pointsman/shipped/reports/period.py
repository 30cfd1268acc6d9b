"""What time a report is about. Everything is in UTC, and weeks begin on Monday."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Self

Kind = Literal["hour", "day", "week", "month"]
_STEPS = {
    "hour": timedelta(minutes=5),
    "day": timedelta(hours=1),
    "week": timedelta(hours=6),
    "month": timedelta(days=1),
}


@dataclass(frozen=True, slots=True)
class Period:
    """From ``start`` to ``end``, in steps for charts."""

    kind: Kind
    start: datetime
    end: datetime
    is_whole: bool
    """False: it goes on, and ``end`` is only how far the report looks."""

    @classmethod
    def last(cls, kind: Kind, now: datetime) -> Self:
        """The last one that has ended."""
        end = _floor(kind, now.astimezone(UTC))
        return cls(kind, _floor(kind, end - timedelta(seconds=1)), end, is_whole=True)

    @classmethod
    def so_far(cls, kind: Kind, now: datetime) -> Self:
        """The one that ``now`` is in, up to the end of this minute."""
        minute = now.astimezone(UTC).replace(second=0, microsecond=0)
        return cls(kind, _floor(kind, minute), minute + timedelta(minutes=1), is_whole=False)

    @property
    def slug(self) -> str:
        """For file names: sorts by time."""
        form = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}[self.kind]
        return self.start.strftime(form) + ("" if self.is_whole else "-so-far")

    @property
    def title(self) -> str:
        """For people."""
        start = self.start
        match self.kind:
            case "hour":
                words = f"{start:%A}, {start.day} {start:%B %Y}, {start:%H:%M} to {start + timedelta(hours=1):%H:%M}"
            case "day":
                words = f"{start:%A}, {start.day} {start:%B %Y}"
            case "week":
                last = start + timedelta(days=6)
                words = f"Week {start:%V} of {start:%G}, {start.day} {start:%B} to {last.day} {last:%B %Y}"
            case "month":
                words = f"{start:%B %Y}"
        return words if self.is_whole else f"{words}, until {self.end:%H:%M} on {self.end.day} {self.end:%B}"

    @property
    def steps(self) -> list[tuple[datetime, datetime]]:
        """The parts for charts, the last one perhaps shorter."""
        step = _STEPS[self.kind]
        count = -((self.start - self.end) // step)
        return [(self.start + step * n, min(self.start + step * (n + 1), self.end)) for n in range(count)]

    def label(self, at: datetime) -> str:
        """The name of the step that begins then."""
        return at.strftime({"hour": "%H:%M", "day": "%H:%M", "week": "%a %H:%M", "month": "%d"}[self.kind])


def _floor(kind: Kind, at: datetime) -> datetime:
    if kind == "hour":
        return at.replace(minute=0, second=0, microsecond=0)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    match kind:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
