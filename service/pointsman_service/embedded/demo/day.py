"""A day of the shop, in twelve minutes: how busy each hour is, and what happens in it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

DAY_SECONDS: Final = 720.0
OPENS: Final = 8.0
"""The hour in which the demo begins, so that who looks for five minutes sees the busy ones."""

_BUSY: Final = (
    (0.0, 0.15), (6.0, 0.2), (9.0, 0.85), (11.0, 1.0), (13.0, 0.7), (16.0, 1.0), (19.0, 0.75), (22.0, 0.35),
    (24.0, 0.15),
)  # fmt: skip
"""Hours, and the share of the busiest one's traffic; straight lines between."""


class Turn(StrEnum):
    """What changes at an hour."""

    PRICES_GO_MISSING = "prices go missing"
    """A partner sends orders without prices, and a task cannot take them."""
    PRICES_ARE_BACK = "prices are back"
    BANK_FAILS = "the bank fails"
    BANK_IS_BACK = "the bank is back"
    ERROR_IS_RESOLVED = "the error is resolved"
    """Somebody says that the missing prices are mended."""
    OFFERS_GO_OUT = "offers go out"
    """Many mails at once."""
    STATEMENTS_ARE_DUE = "statements are due"
    """Some long reports at once."""


TURNS: Final = (
    (2.0, Turn.STATEMENTS_ARE_DUE),
    (8.5, Turn.PRICES_GO_MISSING),
    (9.5, Turn.PRICES_ARE_BACK),
    (10.0, Turn.BANK_FAILS),
    (12.0, Turn.ERROR_IS_RESOLVED),
    (14.0, Turn.BANK_IS_BACK),
    (15.0, Turn.OFFERS_GO_OUT),
    (16.0, Turn.PRICES_GO_MISSING),
    (17.5, Turn.PRICES_ARE_BACK),
    (17.8, Turn.STATEMENTS_ARE_DUE),
    (20.0, Turn.ERROR_IS_RESOLVED),
)


@dataclass(frozen=True)
class Moment:
    """A moment of the demo."""

    seconds: float
    """Since it began."""

    @property
    def hour(self) -> float:
        """0 to 24."""
        return (OPENS + self.seconds / DAY_SECONDS * 24) % 24

    @property
    def busy(self) -> float:
        """The share of the busiest hour's traffic, above 0 and at most 1."""
        for (begin, low), (end, high) in pairwise(_BUSY):
            if self.hour <= end:
                return low + (high - low) * (self.hour - begin) / (end - begin)
        return _BUSY[-1][1]


def turns(before: Moment, now: Moment) -> Iterator[Turn]:
    """What changed after one moment and up to another, in order; at most those of one day."""
    begin, end = (OPENS + moment.seconds / DAY_SECONDS * 24 for moment in (before, now))
    end = min(end, begin + 24)
    for day in (begin // 24 * 24, begin // 24 * 24 + 24):
        yield from (turn for hour, turn in TURNS if begin < day + hour <= end)
