"""What has failed for good and was not run again, by task type and error; and what a replay of it came to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Failed tasks of one type that failed with one error."""

    task_type: str
    error_type: str | None
    """Of the attempt that ended them."""
    count: int
    first_failed_at: datetime
    last_failed_at: datetime
    queues: tuple[str, ...]
    example_task_id: UUID
    """The one that failed last."""
    example_message: str | None


@dataclass(frozen=True, slots=True)
class ReplaySoFar:
    """One replay, and how far it is."""

    id: UUID
    requested_at: datetime
    wanted: Mapping[str, str]
    """What the dead letters were narrowed to."""
    rate_per_second: float | None
    matched: int
    tasks: int
    """Tasks that ran again by it."""
    last_due_at: datetime | None
    states: Mapping[str, int]
    """The new tasks by state, as far as they are kept."""


def dead_letters_of(row: Mapping[str, Any]) -> DeadLetters:
    """The group of a row of ``dead_letters.groups``."""
    return DeadLetters(
        task_type=row["task_type"],
        error_type=row["error_type"],
        count=row["tasks"],
        first_failed_at=row["first_failed_at"],
        last_failed_at=row["last_failed_at"],
        queues=tuple(row["queues"]),
        example_task_id=row["example_id"],
        example_message=row["example_message"],
    )


def replay_of(row: Mapping[str, Any]) -> ReplaySoFar:
    """The replay of a row, its tasks counted by state."""
    return ReplaySoFar(
        id=row["id"],
        requested_at=row["requested_at"],
        wanted=row["wanted"],
        rate_per_second=row["rate_per_second"],
        matched=row["matched"],
        tasks=row["tasks"],
        last_due_at=row["last_due_at"],
        states=row["states"],
    )
