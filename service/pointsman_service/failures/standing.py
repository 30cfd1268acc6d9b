"""What becomes of a group as it occurs again. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class GroupState(StrEnum):
    """Whether somebody has to look at it."""

    OPEN = "open"
    RESOLVED = "resolved"
    """Somebody says that it is mended. If it occurs again it is open, and back again."""
    IGNORED = "ignored"
    """Nobody wants to hear of it, until its limit is passed."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A group, and what ends its state. A limit that is None does not hold."""

    state: GroupState
    set_at: datetime | None
    ignored_until: datetime | None = None
    ignored_per_hour: int | None = None
    ignored_count: int | None = None
    ignored_from: int | None = None


def opens_again(standing: Standing, last_seen_at: datetime, occurrences: int, within_the_hour: int) -> str | None:
    """Why a group that occurred again is open again, in words; None: it stays as it is.

    ``occurrences``: of all time, ``within_the_hour``: of the last hour, both with the new ones. What ended before the
    state was set and is recorded after it is no return.
    """
    if standing.set_at is None or last_seen_at <= standing.set_at:
        return None
    if standing.state is GroupState.RESOLVED:
        return "it failed this way again"
    if standing.state is not GroupState.IGNORED:
        return None
    if standing.ignored_until is not None and last_seen_at > standing.ignored_until:
        return "it was ignored until then, and failed this way again"
    if standing.ignored_per_hour is not None and within_the_hour > standing.ignored_per_hour:
        return f"it failed this way {within_the_hour:,} times within an hour, more than {standing.ignored_per_hour:,}"
    since = occurrences - (standing.ignored_from or 0)
    if standing.ignored_count is not None and since > standing.ignored_count:
        return f"it failed this way {since:,} times since it was ignored, more than {standing.ignored_count:,}"
    return None
