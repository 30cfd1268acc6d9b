"""The way of a task through its states as bars, to scale: in hundredths of the whole way."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pointsman_contract.states import TaskState
from pointsman_service.dashboard.components.durations import duration
from pointsman_service.dashboard.components.moments import clock
from pointsman_service.dashboard.components.states import BAD, BUSY, HELD, IDLE, OK, WARN
from pointsman_service.observe.tasks.path import Stretch

_LEAST: Final = 0.4
"""What is shorter is drawn so wide: it would not be seen."""
_NAMED: Final = 9.0
"""A bar so wide has room for its word."""
_OF_ATTEMPT: Final = {
    "succeeded": OK,
    "failed": BAD,
    "cancelled": IDLE,
    "interrupted": WARN,
    "held": HELD,
    "running": BUSY,
}


@dataclass(frozen=True)
class Bar:
    """One stretch."""

    x: float
    width: float
    tone: str
    word: str
    """Written into it, where there is room."""
    is_run: bool


def bars_of(path: Sequence[Stretch]) -> list[Bar]:
    """A bar for each stretch; none where nothing took any time."""
    if not path:
        return []
    begin = path[0].since
    whole = (path[-1].until - begin).total_seconds()
    if whole <= 0:
        return []
    found = []
    for stretch in path:
        width = max(stretch.seconds / whole * 100, _LEAST)
        x = min((stretch.since - begin).total_seconds() / whole * 100, 100 - _LEAST)
        word = word_of(stretch)
        found.append(
            Bar(round(x, 2), round(width, 2), tone_of(stretch), word if width >= _NAMED else "", _runs(stretch))
        )
    return found


def word_of(stretch: Stretch) -> str:
    """What it is called."""
    if stretch.attempt is None:
        return str(stretch.state)
    return f"attempt {stretch.attempt.attempt}"


def tone_of(stretch: Stretch) -> str:
    """How it looks; what waits is quiet."""
    if stretch.attempt is not None:
        return _OF_ATTEMPT[stretch.attempt.state]
    return HELD if stretch.state is TaskState.HELD else WARN if stretch.state is TaskState.RETRYING else IDLE


def says(path: Sequence[Stretch], now: datetime) -> str:
    """The same for who cannot see it."""
    parts = []
    for stretch in path:
        how = f", {stretch.attempt.state}" if stretch.attempt is not None and not stretch.is_open else ""
        parts.append(f"{word_of(stretch)} from {clock(stretch.since, now)} for {duration(stretch.seconds)}{how}")
    return "; ".join(parts)


def _runs(stretch: Stretch) -> bool:
    return stretch.attempt is not None
