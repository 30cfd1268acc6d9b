"""Times and numbers as people say them; what is not known is a dash."""

from datetime import UTC, datetime

UNKNOWN = "–"


def span(seconds: float | None) -> str:
    """``0.4 s``, ``41 s``, ``4 min``, ``2.5 h``, ``3 d``."""
    if seconds is None:
        return UNKNOWN
    seconds = max(seconds, 0.0)
    if seconds < 9.5:
        return f"{seconds:.1f} s" if seconds < 0.95 or seconds % 1 else f"{seconds:.0f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"


def whole_span(seconds: float | None) -> str:
    """The same of something that is under way: whole seconds, so that it changes once a second at most."""
    return UNKNOWN if seconds is None else span(float(int(max(seconds, 0.0))))


def number(count: int | float | None) -> str:
    """``12,481``, ``0.5``; from 10,000 on of a count that may be long: ``1.2 M``."""
    if count is None:
        return UNKNOWN
    if count >= 1_000_000:
        return f"{count / 1_000_000:.1f} M"
    if isinstance(count, float) and count < 10 and count % 1:
        return f"{count:.1f}"
    return f"{count:,.0f}"


def counted(count: int, noun: str) -> str:
    """``1 task``, ``2,000 tasks``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(share: float | None) -> str:
    """Never more than it is: 100 % is all of them."""
    return UNKNOWN if share is None else f"{int(share * 10_000) / 100:.2f} %" if share < 1 else "100 %"


def parsed(text: object) -> datetime | None:
    """A time of the API."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def clock(at: datetime | None, now: datetime | None = None) -> str:
    """``08:34:12``, in UTC; ``22 Nov`` of another day than that of ``now``."""
    if at is None:
        return UNKNOWN
    at = at.astimezone(UTC)
    return f"{at:%H:%M:%S}" if now is None or at.date() == now.astimezone(UTC).date() else f"{at:%d %b}"


def moment(at: datetime | None, now: datetime) -> str:
    """``08:34:12 UTC``, with the day unless that is today."""
    if at is None:
        return UNKNOWN
    at = at.astimezone(UTC)
    day = "" if at.date() == now.astimezone(UTC).date() else f"{at:%Y-%m-%d} "
    return f"{day}{at:%H:%M:%S} UTC"


def both(at: datetime | None, now: datetime) -> str:
    """``08:34:12 UTC (4 min ago)``, ``08:34:12 UTC (in 41 s)``."""
    if at is None:
        return UNKNOWN
    away = (at - now).total_seconds()
    relative = f"in {whole_span(away)}" if away > 0 else f"{whole_span(-away)} ago"
    return f"{moment(at, now)} ({relative})"
