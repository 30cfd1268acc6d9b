"""Who listens to this process: how many may, and that all of them end with it."""

from typing import Protocol

from pointsman_service.callers import LOCAL, Caller
from pointsman_service.errors import TooManyListeners
from pointsman_service.live.places import AWAY_SECONDS, Places


class Ends(Protocol):
    """Somebody who listens."""

    def end(self) -> None:
        """Let whoever waits for something know that nothing more comes."""
        ...


class Listeners:
    """The listeners of one process to all of its streams together."""

    def __init__(self, most: int, most_of_one: int | None = None) -> None:
        """``most_of_one``: of one caller; None: as many as it leaves free."""
        self._places = Places(most, most_of_one)
        self._all: dict[Ends, Caller] = {}
        self.closed = False
        """Whether the process is about to stop."""

    def __len__(self) -> int:
        return len(self._all)

    def refuse(self, caller: Caller = LOCAL) -> None:
        """Raises ``TooManyListeners`` when no other may come, or none of this caller."""
        if self.closed:
            raise TooManyListeners(
                "This process is about to stop. Listen to another.", retry_after_seconds=AWAY_SECONDS
            )
        self._places.check(caller)

    def add(self, listener: Ends, caller: Caller = LOCAL) -> None:
        """One more, until ``discard``. Raises ``TooManyListeners``."""
        self.refuse(caller)
        self._places.take(caller)
        self._all[listener] = caller

    def discard(self, listener: Ends) -> None:
        """One less."""
        caller = self._all.pop(listener, None)
        if caller is not None:
            self._places.leave(caller)

    def close(self) -> None:
        """End every stream: the process is about to stop."""
        self.closed = True
        for listener in self._all:
            listener.end()
        for listener in list(self._all):
            self.discard(listener)
