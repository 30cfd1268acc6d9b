"""The states of a task and the legal moves between them.

The database holds every row to the states and places, as CHECK constraints. Every statement that moves a row says in
its WHERE from which states, and takes that from here where a row may be in any
(``pointsman_service.store.tasks.moves``): a move that is not legal finds no row. A test tries each of them on a row of
every state.
"""

from enum import StrEnum


class TaskState(StrEnum):
    """Where a task stands. The last four are terminal: no row ever leaves them."""

    SCHEDULED = "scheduled"
    """Due later."""
    QUEUED = "queued"
    """Due; waiting in Postgres or sent to the broker."""
    HELD = "held"
    """Not sent: a breaker is open, or its worker does not know the task type. No attempt is spent."""
    RUNNING = "running"
    RETRYING = "retrying"
    """An attempt failed; the next is due at ``scheduled_at``."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Attempts spent, or a permanent error: the dead letters."""
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Place(StrEnum):
    """Where an unfinished task waits; what the dispatcher's indexes are built on."""

    ASLEEP = "asleep"
    """In Postgres, not yet due."""
    WAITING = "waiting"
    """In Postgres, due, not sent."""
    SENT = "sent"
    """On the broker or in a worker."""
    HELD = "held"
    """In Postgres, held back."""


TERMINAL = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED})
UNFINISHED = frozenset(TaskState) - TERMINAL

LEGAL_MOVES: dict[TaskState, frozenset[TaskState]] = {
    TaskState.SCHEDULED: frozenset({TaskState.QUEUED, TaskState.HELD, TaskState.CANCELLED, TaskState.EXPIRED}),
    # An outcome may be recorded before its start was: queued to succeeded and failed are legal. What waits may be put
    # off by hand.
    TaskState.QUEUED: frozenset(TaskState) - {TaskState.QUEUED},
    TaskState.HELD: frozenset(TaskState) - {TaskState.HELD},
    # A rescued attempt goes back to queued; a message of another epoch may make a running row queued again.
    TaskState.RUNNING: frozenset(TaskState) - {TaskState.SCHEDULED, TaskState.RUNNING},
    TaskState.RETRYING: frozenset(TaskState) - {TaskState.SCHEDULED, TaskState.RETRYING},
    TaskState.SUCCEEDED: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.CANCELLED: frozenset(),
    TaskState.EXPIRED: frozenset(),
}

PLACES: dict[Place, frozenset[TaskState]] = {
    Place.ASLEEP: frozenset({TaskState.SCHEDULED, TaskState.RETRYING}),
    Place.WAITING: frozenset({TaskState.QUEUED}),
    Place.SENT: frozenset({TaskState.QUEUED, TaskState.RUNNING}),
    Place.HELD: frozenset({TaskState.HELD}),
}
"""The states an unfinished task can have in each place."""


def may_move(old: TaskState, new: TaskState) -> bool:
    """Whether a task may go from ``old`` to ``new``."""
    return new in LEGAL_MOVES[old]
