"""How a command ends."""

from enum import IntEnum
from typing import Self

from pointsman_client.errors import ClientError, NoSuchPlace, Refused, TaskStillRunning, Unreachable


class Exit(IntEnum):
    """The exit status, with what it means."""

    WELL = 0
    """It was done."""
    REFUSED = 1
    """The API refused it; or a task that was waited for did not succeed."""
    UNREACHABLE = 2
    """No answer: what was asked for may have been done."""
    STILL_RUNNING = 3
    """The wait was over before the task was."""
    USAGE = 64
    """The command line was wrong."""
    LACKING = 69
    """What the command needs is not installed."""
    INTERRUPTED = 130
    """Somebody stopped it."""

    @classmethod
    def of(cls, error: ClientError) -> Self:
        """Of a command that ended so."""
        kinds = {
            NoSuchPlace: cls.USAGE,
            Unreachable: cls.UNREACHABLE,
            TaskStillRunning: cls.STILL_RUNNING,
            Refused: cls.REFUSED,
        }
        return next((status for kind, status in kinds.items() if isinstance(error, kind)), cls.REFUSED)
