"""One attempt to deliver one message, whatever the channel; what it came to, without a secret."""

from typing import NamedTuple

_LONGEST = 300


class Delivered(NamedTuple):
    """The receiver has it."""

    status: str
    note: str | None = None
    """What is worth knowing all the same."""


class NotDelivered(Exception):
    """The receiver does not have it, or it is not known whether it has."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status[:_LONGEST]
        self.reason = reason[:_LONGEST]
