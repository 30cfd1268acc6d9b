"""Times as pages write them: the moment in UTC, and how long ago it was beside it."""

from datetime import UTC, datetime

from pointsman_service.dashboard.components.durations import duration

_YEAR_SECONDS = 300 * 86_400


def clock(at: datetime, now: datetime) -> str:
    """``08:30:12``; of another day ``28 Nov 08:30:12``, of another year ``2025-11-28 08:30:12``. In UTC."""
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    if at.date() == now.date():
        return f"{at:%H:%M:%S}"
    if abs((now - at).total_seconds()) < _YEAR_SECONDS:
        return f"{at.day} {at:%b %H:%M:%S}"
    return f"{at:%Y-%m-%d %H:%M:%S}"


def exact(at: datetime) -> str:
    """``2026-11-29 08:30:12.250 UTC``."""
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} UTC"


def machine(at: datetime) -> str:
    """For ``<time datetime>``."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def relative(at: datetime, now: datetime) -> str:
    """``4 min ago``, ``in 41 s``, ``now``. What is to come is rounded: in 90 d is not in 89."""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"{duration(seconds, rough=True)} ago" if seconds > 0 else f"in {duration(_nearest(-seconds), rough=True)}"


def _nearest(seconds: float) -> float:
    size = next(size for size in (86_400, 3600, 60, 1) if seconds >= size)
    return int(seconds / size + 0.5) * size


def moment_of(text: str) -> datetime:
    """A moment as pages and the API write it, in UTC where it does not say. Raises ``ValueError``."""
    if len(text) < len("2026-11-29T08:30"):
        raise ValueError(text)
    at = datetime.fromisoformat(text)
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError as error:
        # Of the first or the last day that there is, and in UTC before or after it.
        raise ValueError(text) from error


def local(value: str | None) -> str:
    """A moment for a field of a browser that asks for one; in UTC, and it says so beside it."""
    return "" if value is None else value.removesuffix("Z").removesuffix(".000")
