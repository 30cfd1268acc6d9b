"""How far back a page looks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Window:
    """A span up to now."""

    word: str
    label: str
    seconds: float


HOUR: Final = Window("hour", "last hour", 3600.0)
DAY: Final = Window("day", "last day", 86_400.0)
WEEK: Final = Window("week", "last 7 days", 7 * 86_400.0)
WINDOWS: Final[Mapping[str, Window]] = {one.word: one for one in (HOUR, DAY, WEEK)}
"""By their words in an address."""
