"""Targets for queue wait, met and missed."""

from datetime import datetime, timedelta


def attainment(met: float, missed: float) -> float | None:
    """The share of first starts in time, 0 to 1; None when nothing started."""
    starts = met + missed
    return met / starts if starts else None


def met(due_at: datetime, started_at: datetime | None, now: datetime, target_seconds: float) -> bool | None:
    """Whether a task started in time: False as soon as the target passes unstarted, None until it is known."""
    target = due_at + timedelta(seconds=target_seconds)
    if started_at is not None:
        return started_at <= target
    return False if now > target else None
