"""Transitions of circuit breakers, as they are written, to everybody who listens.

One question to the database serves all listeners of a process, and none is asked while nobody listens.
"""

import asyncio

from pointsman_service.callers import LOCAL, Caller
from pointsman_service.live.listeners import Listeners
from pointsman_service.loops import Loop
from pointsman_service.store.breakers import breakers
from pointsman_service.store.breakers.breakers import TransitionRow
from pointsman_service.store.store import Store

_INTERVAL_SECONDS = 0.5
_ROWS_A_PASS = 500
_WAITING = 1000
"""Transitions one listener may be behind; then it is cut off, and comes back with the last id it saw."""


class Listener:
    """One who listens, from ``TransitionStream.listen``."""

    def __init__(self, store: Store, last: int) -> None:
        self._store = store
        self._last = last
        self._queue: asyncio.Queue[TransitionRow | None] = asyncio.Queue(_WAITING)
        self._caught_up = False

    async def next(self, seconds: float) -> list[TransitionRow] | None:
        """What happened since the last call, in order; nothing within ``seconds`` is an empty list. None: the end."""
        if not self._caught_up:
            async with self._store.statement() as connection:
                rows = await breakers.transitions_since(connection, self._last, _ROWS_A_PASS)
            self._caught_up = len(rows) < _ROWS_A_PASS
            if rows:
                self._last = rows[-1].id
                return rows
        try:
            async with asyncio.timeout(seconds):
                told = await self._queue.get()
        except TimeoutError:
            return []
        if told is None:
            return None
        # What was read from the table above is told again.
        return [told] if told.id > self._last else []

    def offer(self, row: TransitionRow) -> bool:
        """Whether there was room for it."""
        if self._queue.full():
            return False
        self._queue.put_nowait(row)
        return True

    def end(self) -> None:
        """Let ``next`` answer None."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)


class TransitionStream:
    """The listeners of one process."""

    def __init__(self, store: Store, all_listeners: Listeners) -> None:
        self._store = store
        self._all = all_listeners
        self._listeners: set[Listener] = set()
        self._last = 0
        self.loop = Loop("breaker listeners", self.single_pass, _INTERVAL_SECONDS)

    async def listen(self, after: int | None, caller: Caller = LOCAL) -> Listener:
        """A listener to transitions with an id above ``after``, or from now on. Give it to ``leave`` in the end.

        Raises ``TooManyListeners``.
        """
        self._all.refuse(caller)
        async with self._store.statement() as connection:
            newest = await breakers.last_transition(connection)
        if not self._listeners:
            # Whatever is written from here on is told; what was before, the listener reads by itself.
            self._last = newest
        listener = Listener(self._store, newest if after is None else min(after, newest))
        self._all.add(listener, caller)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Tell this one nothing more."""
        self._all.discard(listener)
        self._listeners.discard(listener)

    async def single_pass(self) -> bool:
        """Tell every listener what is new; True when there may be more."""
        if not self._listeners:
            return False
        async with self._store.statement() as connection:
            rows = await breakers.transitions_since(connection, self._last, _ROWS_A_PASS)
        for row in rows:
            self._last = row.id
            for listener in [one for one in self._listeners if not one.offer(row)]:
                self.leave(listener)
                listener.end()
        return len(rows) == _ROWS_A_PASS
