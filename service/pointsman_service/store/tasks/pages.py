"""Pages of a list of tasks, and where the next one goes on."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

EVER = datetime(9000, 1, 1, tzinfo=UTC)
"""Later than anything."""


class Sort(StrEnum):
    """Which task comes first."""

    SUBMITTED = "submitted"
    """That which was submitted last."""
    FINISHED = "finished"
    """That which ended last; those that have not ended are left out."""


class Position(NamedTuple):
    """Where a list goes on: behind the task of this id, or of this finish and id."""

    id: UUID
    finished_at: datetime | None = None

    @property
    def sort(self) -> Sort:
        """Of the list that it is in."""
        return Sort.SUBMITTED if self.finished_at is None else Sort.FINISHED


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list."""

    rows: list[dict[str, Any]]
    """As of ``reading.rows_of``."""
    following: Position | None
    """Where the next page goes on; None: there is nothing more."""
    searched_until: datetime | None
    """Of a page that is not full, and not the last: what was submitted, or ended, before this moment it has not looked
    at."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How many tasks meet a filter, as far as that was counted."""

    tasks: int
    """So many at least."""
    is_all: bool
    """There are no more."""
    searched_until: datetime | None
    """Where time was over: what was submitted before this moment is not counted."""


def moment_of(task_id: UUID) -> datetime:
    """The moment in a UUIDv7; one that no task can have been made at yet is far in the future."""
    milliseconds = task_id.int >> 80
    if milliseconds >= EVER.timestamp() * 1000:
        return EVER
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
