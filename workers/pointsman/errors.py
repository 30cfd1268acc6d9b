"""Errors of a managed run that task authors meet or raise, the root of every error of this package, and the names by
which errors of ours are known outside.
"""

_SHIPPED, _PACKAGE = "pointsman.shipped.", "pointsman."


def reported_module(kind: type) -> str:
    """The module that callers, stored rows and breaker policies know an exception by: its own, but for what is shipped,
    which is known from before it had a room of its own.
    """
    home = kind.__module__
    return _PACKAGE + home.removeprefix(_SHIPPED) if home.startswith(_SHIPPED) else home


class WorkerError(Exception):
    """The root of every error that this package raises. Those of the tasks it ships are their own."""


class PermanentError(WorkerError):
    """Raised by a task body: the attempt failed and no other attempt would do better."""


PermanentError.__module__ = "pointsman"


class TaskCancelled(WorkerError):
    """The task was cancelled while it ran. Raised by ``self.raise_if_cancelled()``; no other attempt follows."""


TaskCancelled.__module__ = "pointsman"


class RefusedByDependency(PermanentError):
    """What was called answered, and its answer is final. Nothing is wrong with it: its circuit breaker counts a
    success.
    """


RefusedByDependency.__module__ = "pointsman"


class BreakerOpen(WorkerError):
    """A call was not made, because the circuit breaker of what it leads to is open.

    A managed task that lets it pass is held until the breaker closes, and the attempt is not counted.
    """

    def __init__(self, breaker: str) -> None:
        super().__init__(f"the circuit breaker {breaker} is open")
        self.breaker = breaker

    def __reduce__(self) -> tuple[type["BreakerOpen"], tuple[str]]:
        return BreakerOpen, (self.breaker,)


BreakerOpen.__module__ = "pointsman"


class ForgedClaim(WorkerError):
    """The right to run says what no script makes of it: somebody wrote it by hand."""


class ResultNotJSON(PermanentError):
    """The task returned something that JSON cannot hold."""


class ResultTooLarge(PermanentError):
    """The task's result is longer than the limit."""


class ArgumentsNotValid(PermanentError):
    """The arguments do not fit the type hints of the task."""


class RetryNotManaged(PermanentError):
    """``self.retry()`` asked for what a managed task cannot do: other arguments, or other message options."""


class OnceNotRecorded(WorkerError):
    """A step of ``self.once()`` could not be recorded, because Redis is away. Another attempt may do better."""


class AttemptSuperseded(WorkerError):
    """The control plane gave this attempt up, and another may run: its steps are not begun any more."""


class OnceNotManaged(PermanentError):
    """``self.once()`` was called in a plain Celery run, whose attempts nobody counts."""


class RunNotCarried(PermanentError):
    """A thread asked about its run and does not know which that is."""


class NotClaimed(WorkerError):
    """A worker process had a message that it could not take to the gate: no attempt began."""


class OptionNotHonoured(WorkerError):
    """A task names an option that a worker cannot do as it says."""


class ReplaceNotManaged(PermanentError):
    """``self.replace()`` was called in a managed task: what was accepted is what runs."""
