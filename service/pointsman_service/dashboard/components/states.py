"""How states look. A state is a word and a shape; a tone gives it both, and colour only repeats it."""

from collections.abc import Mapping
from typing import Final

BAD: Final = "bad"
"""Somebody must act: the only tone that is red."""
WARN: Final = "warn"
OK: Final = "ok"
BUSY: Final = "busy"
HELD: Final = "held"
IDLE: Final = "idle"
UNKNOWN: Final = "unknown"

SHAPES: Final[Mapping[str, str]] = {
    BAD: "M2 2 L10 10 M10 2 L2 10",
    WARN: "M6 1.5 L11 10.5 L1 10.5 Z",
    OK: "M1.5 6.5 L4.5 9.5 L10.5 2.5",
    BUSY: "M3 1.5 L10.5 6 L3 10.5 Z",
    HELD: "M3 2 L3 10 M9 2 L9 10",
    IDLE: "M6 1.5 A4.5 4.5 0 1 0 6.01 1.5 Z",
    UNKNOWN: "M6 1 L11 6 L6 11 L1 6 Z",
}
"""In a square of 12."""

_TONES: Final[Mapping[str, str]] = {
    # tasks
    "scheduled": IDLE, "queued": IDLE, "held": HELD, "running": BUSY, "retrying": WARN, "succeeded": OK,
    "failed": BAD, "cancelled": IDLE, "expired": WARN,
    # circuit breakers
    "closed": OK, "open": BAD, "half_open": WARN, "forced_open": HELD, "forced_closed": WARN, "disabled": IDLE,
    # queues and workers
    "ok": OK, "paused": HELD, "at_risk": WARN, "late": BAD, "missed": BAD, "no_worker": BAD,
    "live": OK, "busy": BUSY, "idle": IDLE, "silent": WARN, "dead": BAD, "gone": IDLE, "stopping": IDLE,
    "ejected": HELD, "on_probation": WARN, "unknown": UNKNOWN,
    # alerts and their messages
    "page": BAD, "ticket": WARN, "resolved": OK, "silenced": HELD, "acknowledged": BUSY,
    "pending": IDLE, "sent": OK, "gave_up": BAD, "dropped": WARN,
    # attempts, and acts on many tasks
    "interrupted": WARN, "walking": BUSY, "done": OK, "undoing": BUSY, "undone": IDLE,
    # groups of errors
    "unresolved": BAD, "ignored": HELD, "new": WARN, "back": BAD,
}  # fmt: skip


def tone_of(state: str) -> str:
    """The tone of one of our words; ``unknown`` for another."""
    return _TONES.get(state, UNKNOWN)
