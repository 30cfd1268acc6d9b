"""Who is told when tasks end, and of what: the types of the end-door, ``pointsman_service.store.tasks.ending``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from pointsman_service.store.reported import End, Moved


class Ended(NamedTuple):
    """An end that moved a row, with all that is to be counted."""

    moved: Moved
    """The row as it is now."""
    end: End
    """What was said of it."""


@dataclass(slots=True)
class Ends:
    """Everything that ended in one transaction."""

    tasks: list[Ended] = field(default_factory=list)
    """Tasks that are over: each once, in whatever transaction."""
    retried: list[Ended] = field(default_factory=list)
    """Attempts that another follows."""
    interrupted: list[Ended] = field(default_factory=list)
    """Attempts that count for nothing: their worker went away or was stopped, or they met an open circuit breaker."""

    def __bool__(self) -> bool:
        return bool(self.tasks or self.retried or self.interrupted)


class EndListener(Protocol):
    """Something that acts on ends in the transaction of the rows: it happens with them, or not at all."""

    async def ended(self, connection: AsyncConnection, ends: Ends) -> None:
        """Told once of everything that ended in a transaction, after the rows and the counters were written; not when
        nothing did.

        The recorder tells of hundreds of ends at once, many times a second, and everybody behind it waits: one
        statement for all of them, not one for each. It locks no row of ``task_live`` (``store.tasks.locking``: theirs
        are locked by rising id already), and goes nowhere but to the database. What it raises rolls everything back;
        what the store raises when the database is away is tried again, and of a fault of its own the recorder leaves
        the event out that it cannot write.
        """
        ...


Listeners = Sequence[EndListener]
