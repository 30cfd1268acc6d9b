"""Ending a call from elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from pointsman_client.errors import Unreachable
from pointsman_client.wire.clock import Clock


class LetGo(Exception):
    """Somebody else wanted the call to end."""


class Hold:
    """Has another thread end a call."""

    def __init__(self) -> None:
        self.clock: Clock | None = None
        self.is_over = False

    def let_go(self) -> None:
        """End the call, now or when it begins."""
        self.is_over = True
        if self.clock is not None:
            self.clock.hang_up()


class AsyncHold:
    """Has another task end a call."""

    def __init__(self) -> None:
        self.scope: anyio.CancelScope | None = None
        self.is_over = False

    def let_go(self) -> None:
        """End the call, now or when it begins."""
        self.is_over = True
        if self.scope is not None:
            self.scope.cancel()


@contextmanager
def held(hold: Hold | None, clock: Clock) -> Iterator[None]:
    """The block ends when the call is let go. Raises ``LetGo`` then."""
    if hold is None:
        yield
        return
    hold.clock = clock
    try:
        if hold.is_over:
            raise LetGo
        yield
    except Unreachable:
        if hold.is_over:
            raise LetGo from None
        raise
    finally:
        hold.clock = None


@contextmanager
def held_async(hold: AsyncHold | None) -> Iterator[None]:
    """Likewise, for a task."""
    if hold is None:
        yield
        return
    if hold.is_over:
        raise LetGo
    # Entered once: each attempt has its own.
    with anyio.CancelScope() as hold.scope:
        yield
    if hold.is_over:
        raise LetGo
