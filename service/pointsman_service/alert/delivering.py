"""One attempt to deliver one message, whatever the channel; what it came to, without a secret."""

from typing import NamedTuple

from pointsman_service.errors import ServiceError

_LONGEST = 300


class Delivered(NamedTuple):
    """The receiver has it."""

    status: str
    note: str | None = None
    """What is worth knowing all the same."""


class NotDelivered(ServiceError):
    """The receiver does not have it, or it is not known whether it has."""

    def __init__(self, status: str, reason: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds
        """So long the receiver wants to be left alone; 0 when it does not say."""
        self.status = status[:_LONGEST]
        self.reason = reason[:_LONGEST]
