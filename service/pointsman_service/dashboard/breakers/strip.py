"""The states of a breaker over time as a strip: a height for each state, its tone, and the same in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pointsman_service.dashboard.components.durations import duration
from pointsman_service.dashboard.components.figures import label
from pointsman_service.dashboard.components.moments import clock
from pointsman_service.dashboard.components.states import UNKNOWN, tone_of
from pointsman_service.observe.breaker_reader import Spell

WIDTH: Final = 240
HEIGHT: Final = 16
_LEAST: Final = 1.5
_HEIGHTS: Final[Mapping[str | None, float]] = {
    "open": 16.0,
    "forced_open": 13.0,
    "half_open": 9.0,
    "disabled": 5.0,
    "closed": 2.0,
    None: 2.0,
}


@dataclass(frozen=True)
class Piece:
    """One spell, in a strip of 240 by 16."""

    x: float
    y: float
    width: float
    height: float
    tone: str


@dataclass(frozen=True)
class Strip:
    """What is drawn, and what is said to who cannot see it."""

    pieces: Sequence[Piece]
    says: str


def strip_of(spells: Sequence[Spell]) -> Strip:
    """The strip of spells that follow one another, the oldest first; a short one is drawn wide enough to be seen."""
    begin, end = spells[0].since, spells[-1].until
    whole = max((end - begin).total_seconds(), 1e-6)
    pieces = []
    for spell in spells:
        seconds = (spell.until - spell.since).total_seconds()
        width = max(round(seconds / whole * WIDTH, 2), _LEAST)
        x = min(round((spell.since - begin).total_seconds() / whole * WIDTH, 2), WIDTH - width)
        height = _HEIGHTS.get(spell.state, 2.0)
        tone = UNKNOWN if spell.state is None else tone_of(spell.state)
        pieces.append(Piece(x, HEIGHT - height, width, height, tone))
    # What is short is drawn last, or a long neighbour would cover it.
    pieces.sort(key=lambda piece: -piece.width)
    return Strip(pieces, _words(spells))


def _words(spells: Sequence[Spell]) -> str:
    last = spells[-1]
    if len(spells) == 1:
        return f"{_name(last.state)} all the time"
    lasted, times = dict[str | None, float](), dict[str | None, int]()
    for spell in spells[:-1]:
        lasted[spell.state] = lasted.get(spell.state, 0.0) + (spell.until - spell.since).total_seconds()
        times[spell.state] = times.get(spell.state, 0) + 1
    parts = [
        f"{_name(state)} for {duration(seconds)}" + (f" in {times[state]} spells" if times[state] > 1 else "")
        for state, seconds in sorted(lasted.items(), key=lambda one: -one[1])
    ]
    return f"{', '.join(parts)}; {_name(last.state)} since {clock(last.since, last.until)} UTC"


def _name(state: str | None) -> str:
    return "not known" if state is None else label(state)
