"""States as words and shapes."""

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
