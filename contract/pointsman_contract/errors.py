"""The types of error that mean something to the control plane. Every other one is the name of an exception class, and
is only shown.

Both sides use these words, and rows that were stored long ago hold them. So none follows the module that its class has
moved to since: a recorder of the release before must know what a worker of this one reports, and the other way round.
"""

from enum import StrEnum


class ErrorType(StrEnum):
    """``type`` of an error, as a worker reports it or the control plane writes it."""

    INTERRUPTED = "Interrupted"
    """The attempt ended with its worker, or because that was stopped."""
    HELD = "Held"
    """The attempt ended because a call it was about to make met an open circuit breaker, and the task is held."""
    CALL_NOT_MADE = "workers.BreakerOpen"
    """What the worker says of such an attempt: the task is held, or fails where its type fails fast."""
    FAILED_FAST = "BreakerOpen"
    """No attempt began: an open circuit breaker would hold the task, and its type fails fast."""
    NOT_CLAIMED = "NotClaimed"
    """No worker began the attempt, however often the task was sent."""
    CANCELLED = "workers.TaskCancelled"
    """The attempt was asked to end, or was killed because it did not."""
    SUPERSEDED = "AttemptSuperseded"
    """The control plane had given the attempt up before."""
    ARGUMENTS_NOT_VALID = "ArgumentsNotValid"
    """The arguments do not fit the task."""
    TIME_LIMIT = "TimeLimitExceeded"
    """The attempt was killed at its hard limit."""
    SOFT_TIME_LIMIT = "SoftTimeLimitExceeded"
    """The attempt ended at its soft limit."""
    WORKER_LOST = "WorkerLost"
    """The process died while it ran the attempt."""


NOBODYS = frozenset(ErrorType) - {ErrorType.TIME_LIMIT, ErrorType.SOFT_TIME_LIMIT, ErrorType.WORKER_LOST}
"""What speaks against no worker that ran the attempt. Every other error does, those of the task's own among them."""
