"""What tells the failures of one cause from others: the id of their group."""

from hashlib import sha256
from uuid import UUID

from pointsman_service.failures.frames import frames_of
from pointsman_service.failures.message import normalised

VERSION = 2
"""Of the rules for messages and frames. It rises with them, and stands beside a group and not in its id: what the new
rules tell as those before them did is the same group, and what they tell otherwise goes on from the group that it was
in (``store.errors.carrying``).
"""
_HASHED = 1
"""In every id. It rises with what is hashed, and not with how that is told: every group then begins anew."""
REST_MESSAGE = "(other errors of this type)"
"""What stands for the message of the group that takes the rest."""


def group_of(task_type: str, error_type: str | None, message: str | None, traceback: str | None) -> str:
    """The id of the group of a failure: the same in every process of one ``VERSION``, without asking anybody.

    One group has one task type, one type of error, one message without what differs each time, and one place in the
    code of the task's author.
    """
    frames = frames_of(traceback) if traceback else ()
    return _id(task_type, error_type or "", normalised(message) if message else "", *frames)


def rest_of(task_type: str) -> str:
    """The id of the group of a task type that takes the failures that get no group of their own."""
    return _id(task_type)


def _id(*parts: str) -> str:
    told = "\x00".join((str(_HASHED), *parts)).encode("utf-8", "surrogatepass")
    found = int.from_bytes(sha256(told).digest()[:16])
    # Version and variant of RFC 9562: version 8 is for ids that are made in a way of one's own.
    return str(UUID(int=found & ~(0xF << 76) & ~(0x3 << 62) | 0x8 << 76 | 0x2 << 62))
