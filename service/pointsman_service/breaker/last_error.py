"""The newest failure that a circuit breaker counted: what went wrong, of which task, and how often of late.

It is told where the breaker is shown, and changes nothing that the breaker does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pointsman_contract.log_text import in_one_line

TOGETHER_SECONDS = 600.0
"""Failures with one exception belong together while each follows the one before within so long."""
_LONGEST_TYPE = 200
_LONGEST_MESSAGE = 500
_IN_A_LINE = 200


class Said(NamedTuple):
    """What an exception said."""

    type: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class LastError:
    """The newest failure."""

    type: str
    """The exception's class."""
    message: str
    """At most 500 characters of it."""
    task_id: str | None
    """None: reported by a caller."""
    at: float
    """Unix seconds on the database clock."""
    count: int
    """Failures with this exception in one run: each within ten minutes of the one before, no other in between."""


def following(before: LastError | None, said: Said, task_id: str | None, at: float) -> LastError:
    """The newest error after one more failure."""
    new = LastError(said.type[:_LONGEST_TYPE], said.message[:_LONGEST_MESSAGE], task_id, at, 1)
    if before is None or before.type != new.type or at - before.at > TOGETHER_SECONDS:
        return new
    return replace(new, count=before.count + 1)


def in_words(stored: Mapping[str, Any]) -> str:
    """A ``LastError`` as it is stored, in one line: ``ValueError: no such customer (5 times, last of task 01a2…).``,
    the id whole.
    """
    times = "once" if stored["count"] == 1 else f"{stored['count']:,} times"
    task = "" if stored["task_id"] is None else f", last of task {stored['task_id']}"
    return f"{in_a_line(stored['type'], stored['message'])} ({times}{task})."


def in_a_line(kind: str, message: str) -> str:
    """``ValueError: no such customer``, whatever the message is, but for a colon at its end."""
    kind, said = in_one_line(kind), in_one_line(message).strip().rstrip(" :")
    if len(said) > _IN_A_LINE:
        said = said[: _IN_A_LINE - 1] + "…"
    return f"{kind}: {said}" if said else kind
