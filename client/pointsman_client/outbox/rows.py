"""A row of an outbox, what becomes of it, and what a relay asks of the database that has it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from pointsman_client.errors import ClientError


class DatabaseAway(ClientError):
    """The database of the outbox does not answer, or refuses."""


class RowState(StrEnum):
    """Where a row stands."""

    WAITING = "waiting"
    """To be sent, or being sent."""
    SENT = "sent"
    """Its task is stored; kept for a while, to be found by its key."""
    REFUSED = "refused"
    """It is not sent again by itself: somebody has to look at its problem."""


@dataclass(frozen=True, slots=True)
class Row:
    """One that a relay has claimed."""

    id: int
    key: str
    task_type: str
    text: bytes = field(repr=False)
    tries: int = 0
    doubtful_since: datetime | None = None
    """When it was first sent without knowing what became of it; None: it is known that it was not stored."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a row in one pass."""

    row: Row
    state: RowState
    task_id: str | None = None
    problem: str | None = None
    """The problem document, as JSON."""
    rest_seconds: float | None = None
    """Of one that waits, until it is tried again; None: it goes back to where it was, and no try is counted."""
    is_doubtful: bool = False
    """Whether it may have been stored all the same."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A row as people see it."""

    id: int
    key: str
    task_type: str
    state: RowState
    submitted_at: datetime
    tries: int
    task_id: str | None
    problem: Mapping[str, Any] | None


Values = dict[str, Any]


class Rows(Protocol):
    """An outbox in some database. Every method is one transaction of its own and raises ``DatabaseAway``."""

    def claim(self, token: str, most: int, now: datetime, until: datetime) -> list[Row]:
        """Rows that are due, in order, each for one ``token`` alone until that moment. Those that were tried before
        take no more than half of the room from those that were not. A row that another token had until its time was
        over is doubtful since then.
        """
        ...

    def settle(self, token: str, changed: Mapping[int, Values], gone: Sequence[int]) -> None:
        """Write down what became of rows, of those that are still the token's."""
        ...

    def sweep(self, now: datetime, most: int) -> int:
        """Delete sent rows that were kept long enough; how many."""
        ...

    def refused(self, most: int) -> list[Listed]:
        """Refused rows, oldest first."""
        ...

    def retry(self, ids: Sequence[int] | None) -> int:
        """Let refused rows be sent again as if they had never been sent, all of them with None; how many."""
        ...

    def drop(self, ids: Sequence[int] | None) -> int:
        """Delete refused rows, likewise."""
        ...


RETRIED: Values = {
    "state": RowState.WAITING.value, "next_at": None, "claim": None, "claimed_at": None, "tries": 0,
    "doubtful_since": None, "problem": None, "ended_at": None,
}  # fmt: skip
"""A refused row that somebody wants sent again."""


def picked(later: list[int], fresh: list[int], most: int) -> list[int]:
    """Of the rows that are due for another try and of those that never had one, as many as there is room for."""
    later = later[: max((most + 1) // 2, most - len(fresh))]
    return later + fresh[: most - len(later)]


def values_of(fate: Fate, claimed_at: datetime, now: datetime, keep_seconds: float) -> Values:
    """The columns of a row after a pass."""
    rest, is_over = fate.rest_seconds, fate.state is not RowState.WAITING
    next_at = None if rest is None else now + timedelta(seconds=rest)
    if fate.state is RowState.SENT:
        next_at = now + timedelta(seconds=keep_seconds)
    return {
        "state": fate.state.value,
        "next_at": next_at,
        "claim": None,
        "claimed_at": None,
        "tries": fate.row.tries + (is_over or rest is not None),
        "doubtful_since": fate.row.doubtful_since or (claimed_at if fate.is_doubtful else None),
        "problem": fate.problem,
        "task_id": fate.task_id,
        "ended_at": now if is_over else None,
    }
