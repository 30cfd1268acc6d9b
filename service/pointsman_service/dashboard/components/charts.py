"""Lines over time, drawn here: no script is needed to see them, and a table says the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Final

from pointsman_service.dashboard.components.durations import duration
from pointsman_service.dashboard.components.figures import number, percent

WIDTH: Final = 600
HEIGHT: Final = 100
_TOP: Final = 4
"""What is highest is not drawn on the edge."""
_MOST_ROWS: Final = 60
_UNITS: Final[Mapping[str, Callable[[float | None], str]]] = {
    "number": number,
    "seconds": duration,
    "share": percent,
}


@dataclass(frozen=True)
class Line:
    """One figure over time; None where it is not known."""

    label: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Drawn:
    """One line as a path, and what it came to."""

    label: str
    path: str
    says: str


@dataclass(frozen=True)
class Chart:
    """What is drawn, and the same as words and as a table."""

    name: str
    lines: Sequence[Drawn]
    high: str
    """The top of the scale; its foot is nothing."""
    begins: datetime
    ends: datetime
    rows: Sequence[tuple[datetime, Sequence[str]]]
    """The newest first; of many every second or third."""
    is_known: bool

    @property
    def says(self) -> str:
        """For who cannot see it."""
        return f"{self.name}. " + " ".join(f"{one.label}: {one.says}." for one in self.lines)


def chart(
    name: str, times: Sequence[datetime], ends: datetime, lines: Sequence[Line], unit: str, top: float | None = None
) -> Chart:
    """Lines between the same two moments on the same scale, from nothing to the highest value, or to ``top``."""
    write = _UNITS[unit]
    known = [value for line in lines for value in line.values if value is not None]
    high = max([top or 0.0, *known])
    if unit == "number":
        # Half a task at the top of a scale would be asked about.
        high = float(ceil(high))
    every = -(-len(times) // _MOST_ROWS) or 1
    rows = [(at, [write(line.values[place]) for line in lines]) for place, at in enumerate(times)][::-1][::every]
    return Chart(
        name,
        [Drawn(line.label, _path(line.values, high), _says(line.values, write)) for line in lines],
        write(high),
        times[0] if times else ends,
        ends,
        rows,
        bool(known),
    )


def _path(values: Sequence[float | None], high: float) -> str:
    """A line breaks where nothing is known; a value between two gaps is a dot."""
    step = WIDTH / max(len(values) - 1, 1)
    found: list[str] = []
    is_on = False
    for place, value in enumerate(values):
        if value is None:
            is_on = False
            continue
        y = HEIGHT - (value / high if high else 0.0) * (HEIGHT - _TOP)
        found.append(f"{'L' if is_on else 'M'}{_short(place * step)} {_short(y)}")
        alone = place + 1 == len(values) or values[place + 1] is None
        if not is_on and alone:
            found.append("h1")
        is_on = True
    return "".join(found)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _says(values: Sequence[float | None], write: Callable[[float | None], str]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "not known"
    return f"lowest {write(min(known))}, highest {write(max(known))}, last {write(known[-1])}"
