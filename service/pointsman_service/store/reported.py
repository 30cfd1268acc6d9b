"""What workers reported of tasks, as it is written down, and what moved by it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple


class Start(NamedTuple):
    """An attempt began."""

    id: str
    attempt: int
    at: datetime
    worker: str


class End(NamedTuple):
    """An attempt ended, or the gate found the task expired (``run_seconds`` None)."""

    id: str
    attempt: int
    state: str
    """succeeded, failed, expired or cancelled."""
    finished_at: datetime
    started_at: datetime | None
    worker: str | None
    run_seconds: float | None
    result: str | None
    error_type: str | None
    error_message: str | None
    error_traceback: str | None
    progress: str | None = None
    retry_at: datetime | None = None
    """Of a failure that another attempt may follow: when."""
    max_attempts: int | None = None
    """Of a failure that another attempt may follow: the budget, when it is not the task's own."""
    breaker: str | None = None
    """Of an attempt that met an open circuit breaker: which."""
    timed_out: bool = False
    """Whether it was killed at its hard time limit."""
    executed: bool = False
    """Whether it counts as an execution: an attempt of the task is spent."""
    error_group: str | None = None
    """Of a failure: the id of its group (``pointsman_service.failures``)."""
    blamed: str | None = None
    """Of a failure: the circuit breaker that it counts for."""


class Refused(NamedTuple):
    """A message was dropped unstarted, and its task is held."""

    id: str
    dispatch: int
    reason: str


class Revoked(NamedTuple):
    """Celery was told to revoke a task."""

    id: str
    by: str
    kill: bool
    """Whether a running attempt is to end."""


class Progressed(NamedTuple):
    """A running attempt says how far it is."""

    id: str
    attempt: int
    progress: str


class Moved(NamedTuple):
    """A row that moved, with what the counters need."""

    id: str
    task_type: str
    queue: str
    first_seen: bool
    """Whether this move is the first to show the attempt's start."""
    attempt: int
    queue_wait_seconds: float | None
    sla_met: bool | None
    state: str
    """What it is now."""
    caller: str | None = None
    held_seconds: float = 0.0
    """Of a task that ended: how long it was held in all."""


class NativeEnd(NamedTuple):
    """A plain Celery task ended."""

    task_id: str
    task_type: str
    queue: str
    worker: str
    state: str
    run_seconds: float
    finished_at: datetime
    error_type: str | None
    error_message: str | None
    error_traceback: str | None


def columns_of(
    rows: Sequence[End] | Sequence[NativeEnd] | Sequence[Progressed] | Sequence[Refused],
) -> dict[str, object]:
    """One array for each field, for ``pointsman_service.store.arrays``. There is at least one row."""
    return dict(zip(rows[0]._fields, map(list, zip(*rows, strict=True)), strict=True))


def moved_of(rows: Iterable[Any]) -> list[Moved]:
    """Rows of a statement that returns the fields of ``Moved`` in their order."""
    return [Moved(str(row.id), *row[1:]) for row in rows]
