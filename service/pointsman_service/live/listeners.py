"""Who listens to this process: how many may, and that all of them end with it."""

from typing import Protocol

from pointsman_service.errors import TooManyListeners

_AWAY_SECONDS = 5.0


class Ends(Protocol):
    """Somebody who listens."""

    def end(self) -> None:
        """Let whoever waits for something know that nothing more comes."""
        ...


class Listeners:
    """The listeners of one process to all of its streams together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: set[Ends] = set()
        self.closed = False
        """Whether the process is about to stop."""

    def __len__(self) -> int:
        return len(self._all)

    def refuse(self) -> None:
        """Raises ``TooManyListeners`` when no other may come."""
        if self.closed:
            raise TooManyListeners(
                "This process is about to stop. Listen to another.", retry_after_seconds=_AWAY_SECONDS
            )
        if len(self._all) >= self._most:
            raise TooManyListeners(
                f"{self._most} listen to this process already, as many as POINTSMAN_LISTENERS_MOST lets.",
                retry_after_seconds=_AWAY_SECONDS,
            )

    def add(self, listener: Ends) -> None:
        """One more, until ``discard``. Raises ``TooManyListeners``."""
        self.refuse()
        self._all.add(listener)

    def discard(self, listener: Ends) -> None:
        """One less."""
        self._all.discard(listener)

    def close(self) -> None:
        """End every stream: the process is about to stop."""
        self.closed = True
        for listener in self._all:
            listener.end()
        self._all.clear()
