"""Times and numbers as people say them."""

from datetime import UTC, datetime


def span(seconds: float) -> str:
    """A time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def short_span(seconds: float) -> str:
    """A time for people, of something that may take less than a second."""
    if seconds < 0.1:
        return "under 0.1 s"
    return f"{seconds:.2g} s" if seconds < 9.5 else span(seconds)


def moment(at: datetime, now: datetime) -> str:
    """A moment for people: the time in UTC, with the day unless that is today."""
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    day = "" if at.date() == now.date() else f"{at:%Y-%m-%d} "
    return f"{day}{at:%H:%M:%S} UTC"


def ahead(at: datetime, now: datetime) -> str:
    """A moment to come, for people: ``in 41 s (08:34:12 UTC)``."""
    return f"in {span(max((at - now).total_seconds(), 0.0))} ({moment(at, now)})"


def ago(at: datetime, now: datetime) -> str:
    """How long it has been so, for people: ``since 08:30:12 UTC (4 min)``."""
    return f"since {moment(at, now)} ({span(max((now - at).total_seconds(), 0.0))})"
