"""``Retry-After`` of an answer (RFC 9110, 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST_SECONDS = 1e9
"""Whatever is written as a number of more digits."""
_DIGITS = 10


def seconds_of(said: str, date: str) -> float | None:
    """How long the header asks to wait, in seconds, never below 0; None when it says nothing that can be read.

    A moment is read against ``date``, the answer's own ``Date``, whatever this machine's clock says.
    """
    said = said.strip()
    if said.isascii() and said.isdigit():
        # A number of many digits is longer than float can hold.
        return float(said) if len(said) < _DIGITS else _LONGEST_SECONDS
    at = _moment(said)
    if at is None:
        return None
    now = _moment(date) or datetime.now(UTC)
    return max(0.0, (at - now).total_seconds())


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
