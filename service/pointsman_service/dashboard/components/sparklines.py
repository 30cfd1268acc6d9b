"""A row of small bars, drawn here: no script is needed to see it."""

from collections.abc import Sequence
from dataclasses import dataclass

HEIGHT = 16
_STEP = 4
_WIDTH = 3
_LEAST = 1.0


@dataclass(frozen=True)
class Sparkline:
    """What is drawn, and what is said to who cannot see it."""

    path: str
    """Of its bars, in pixels from the top left."""
    width: int
    says: str


def sparkline(values: Sequence[float | None], unit: str = "", least: float = _LEAST) -> Sparkline:
    """Bars for values from the oldest to the newest, from zero to the highest. None leaves a gap: it is not known.

    Nothing is a bar that is ``least`` high: so much is to be seen of it where it is drawn.
    """
    known = [value for value in values if value is not None]
    highest = max(known, default=0.0)
    bars = []
    for index, value in enumerate(values):
        if value is not None:
            height = max(_LEAST, round(value / highest * HEIGHT, 1)) if highest > 0 and value > 0 else least
            bars.append(f"M{index * _STEP} {HEIGHT}v{-height:g}h{_WIDTH}v{height:g}z")
    said = f"lowest {min(known):g}{unit}, highest {highest:g}{unit}, last {known[-1]:g}{unit}" if known else "not known"
    return Sparkline("".join(bars), max(len(values) * _STEP - (_STEP - _WIDTH), _WIDTH), said)
