"""States as words and shapes."""

from collections.abc import Mapping
from typing import Any

from pointsman_client.top.pen import Pen, Span, Style

_SHAPES = {Style.BAD: "✖", Style.WARN: "▲", Style.GOOD: "●", Style.DIM: "○", Style.PLAIN: "·"}
_STYLES = {
    # the verdict
    "healthy": Style.GOOD, "degraded": Style.BAD, "unknown": Style.WARN, "unreachable": Style.BAD,
    # who has to know
    "page": Style.BAD, "ticket": Style.WARN, "notice": Style.DIM,
    # queues
    "ok": Style.GOOD, "late": Style.BAD, "no_worker": Style.BAD, "at_risk": Style.WARN, "held": Style.WARN,
    "paused": Style.WARN,
    # breakers
    "closed": Style.GOOD, "open": Style.BAD, "half_open": Style.WARN, "forced_open": Style.WARN, "disabled": Style.WARN,
    # workers
    "live": Style.GOOD, "silent": Style.BAD, "gone": Style.DIM, "ejected": Style.WARN, "on probation": Style.WARN,
    # tasks
    "succeeded": Style.GOOD, "failed": Style.BAD, "retrying": Style.WARN, "expired": Style.WARN,
    "cancelled": Style.DIM, "running": Style.GOOD, "queued": Style.PLAIN, "scheduled": Style.DIM,
    # error groups and alerts
    "ignored": Style.DIM, "resolved": Style.GOOD, "new": Style.BAD, "back again": Style.BAD,
}  # fmt: skip


def error_of(error: Mapping[str, Any]) -> str:
    """``KeyError: 'price_cents'``, of what has ``error_type`` or ``type``; failures that have no type in common are
    told by their message alone.
    """
    kind, message = error.get("error_type") or error.get("type"), error.get("message")
    return ": ".join(str(part) for part in (kind, message) if part) or "an error"


def attempt_of(task: Mapping[str, Any], between: str) -> str:
    """``1 of 4``: an attempt that ended with its worker is none of the budget."""
    most = task.get("max_attempts")
    whole = most + (task.get("interruptions") or 0) if isinstance(most, int) else most
    return f"{task.get('attempt')}{between}{whole}"


def style_of(state: object) -> Style:
    """Of a state."""
    return _STYLES.get(str(state), Style.PLAIN)


def shape(pen: Pen, state: object) -> Span:
    """Its shape alone."""
    style = style_of(state)
    return pen.span(_SHAPES.get(style, "·"), style)


def named(pen: Pen, state: object) -> Span:
    """Shape and word."""
    style = style_of(state)
    return pen.span(f"{_SHAPES.get(style, '·')} {str(state).replace('_', ' ')}", style)
