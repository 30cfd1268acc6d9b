"""What can go wrong between here and an API."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any


class ClientError(Exception):
    """The root of what this package raises. Its text is a sentence for people, and holds no key."""


class NoSuchPlace(ClientError):
    """The address cannot be used, or the key is none."""


class Unreachable(ClientError):
    """No whole answer came: nobody knows what became of the request."""


class NeverSent(Unreachable):
    """There was no connection: the request was not sent, and nothing was done."""


class DeadlineOver(Unreachable):
    """The call took longer than its ``timeout``. What it asked for may have been done."""


class ClientClosed(ClientError):
    """The client was closed. A call that was under way may have been done."""


class OtherLoop(ClientError):
    """An ``AsyncClient`` was used in a second event loop while its first one still runs. Nothing was sent."""


class NotTold(ClientError, AttributeError):
    """An answer lacks what was looked for, or says it otherwise than this client reads it: the API is of another
    release, or none of ours.
    """


class Refused(ClientError):
    """The API answered, and not with what was asked for.

    ``status`` is that of HTTP, ``problem`` the last word of the problem's ``type``, empty for an answer that is none of
    ours, ``retry_after_seconds`` what the answer asks for, ``request_id`` what the logs of the API call the request,
    and ``document`` the problem document (RFC 9457).
    """

    def __init__(
        self,
        text: str,
        *,
        status: int,
        problem: str = "",
        retry_after_seconds: float | None = None,
        request_id: str | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds
        self.request_id = request_id
        self.document = document or {}

    @property
    def task_id(self) -> str | None:
        """The task that the problem is about: one that may have been stored, or that a key stands for."""
        found = self.document.get("task_id")
        return None if found is None else str(found)

    @property
    def errors(self) -> list[Mapping[str, str]]:
        """The fields at fault: a ``pointer`` (RFC 6901) and a ``detail`` each."""
        found = self.document.get("errors")
        return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []

    def __str__(self) -> str:
        text = super().__str__()
        return text if self.request_id is None else f"{text} (request {self.request_id})"


class TaskStillRunning(ClientError):
    """The task had not ended when the wait for it was over. It goes on: nothing was cancelled, and it can be waited for
    again by its ``task_id``. ``state`` is the last that was seen of it.
    """

    def __init__(self, task_id: str, task_type: str, state: str, seconds: float) -> None:
        super().__init__(f"{task_type} {task_id} is {state} after {seconds:g} s of waiting; it goes on")
        self.task_id = task_id
        self.task_type = task_type
        self.state = state
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.task_id, self.task_type, self.state, self.seconds)


class NoResult(ClientError):
    """The task ended without a result. ``task`` is as it was then."""

    def __init__(self, text: str, task: Any) -> None:
        super().__init__(text)
        self.task = task


class TaskFailed(NoResult):
    """Its attempts are spent, or the last one ended in an error that no other would mend."""


class TaskCancelled(NoResult):
    """Somebody cancelled it."""


class TaskExpired(NoResult):
    """It had not started by its ``expires_at``."""


class CallNotAllowed(ClientError):
    """A circuit breaker is open: the call that it guards was not made. ``retry_at`` is when it lets probes through;
    None: nobody knows.
    """

    def __init__(self, text: str, retry_at: datetime | None) -> None:
        super().__init__(text)
        self.retry_at = retry_at


class NotSigned(ClientError):
    """The message is not one of this Pointsman: its signature is wrong, missing, or too old."""
