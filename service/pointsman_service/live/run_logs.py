"""What runs write, as it comes in, to everybody who listens to their task.

One question to the database serves all listeners of a process, and none is asked while nobody listens.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from uuid import UUID

from pointsman_service.callers import LOCAL, Caller
from pointsman_service.live.listeners import Listeners
from pointsman_service.loops import Loop
from pointsman_service.observe.tasks.run_logs import LogLine, Position, all_lines
from pointsman_service.store.store import Store
from pointsman_service.store.tasks import run_logs
from pointsman_service.store.tasks.run_logs import StoredLines

_INTERVAL_SECONDS = 0.5
_ROWS_A_PASS = 100
_WAITING = 32
"""Rows of some 16 KiB that one listener may be behind; then it is cut off, and comes back with the last id it saw."""
_ENDED_SECONDS = 1.0
"""Between two looks which tasks have ended."""
_LAST_LINES_SECONDS = 3.0
"""The last lines of a task may come in so long after its end, and those of a worker that died never."""


class LineListener:
    """One who listens to a task, from ``LineStream.listen``."""

    def __init__(self, store: Store, task: UUID, attempt: int | None, after: Position) -> None:
        self._store = store
        self.task = task
        self._attempt = attempt
        self._after = after
        self._queue: asyncio.Queue[StoredLines | None] = asyncio.Queue(_WAITING + 1)
        self._caught_up = False
        self.has_ended_at: float | None = None
        """Monotonic; since when its task is known to have ended."""
        self.is_over = False
        """Whether no line will follow, because the task has ended."""

    async def next(self, seconds: float) -> Sequence[LogLine] | None:
        """The lines since the last call, in order; none within ``seconds`` is an empty list. None: the end."""
        if not self._caught_up:
            async with self._store.statement() as connection:
                rows = await run_logs.page(connection, self.task, self._attempt, self._after.row, _ROWS_A_PASS)
            self._caught_up = len(rows) < _ROWS_A_PASS
            if lines := self._new(rows):
                return lines
        try:
            async with asyncio.timeout(seconds):
                told = await self._queue.get()
        except TimeoutError:
            return []
        rows = []
        while told is not None:
            rows.append(told)
            if self._queue.empty():
                return self._new(rows)
            told = self._queue.get_nowait()
        # The end comes again, after what was told before it.
        if lines := self._new(rows):
            self._queue.put_nowait(None)
            return lines
        return None

    def offer(self, row: StoredLines) -> bool:
        """Whether there was room for it."""
        if self._queue.qsize() >= _WAITING:
            return False
        self._queue.put_nowait(row)
        return True

    def end(self, *, is_over: bool = False) -> None:
        """Let ``next`` answer None, after what it was told when its task is over, or else at once."""
        self.is_over = is_over
        while not is_over and not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    def _new(self, rows: Sequence[StoredLines]) -> list[LogLine]:
        """What was read from the table is told again."""
        wanted = [row for row in rows if row.id >= self._after.row and self._attempt in (None, row.attempt)]
        lines = list(all_lines(wanted, self._after))
        if lines:
            self._after = lines[-1].position
        return lines


class LineStream:
    """The listeners of one process."""

    def __init__(self, store: Store, all_listeners: Listeners) -> None:
        self._store = store
        self._all = all_listeners
        self._listeners: set[LineListener] = set()
        self._last = 0
        self._ended_at = 0.0
        self.loop = Loop("listeners to runs", self.single_pass, _INTERVAL_SECONDS)

    async def listen(self, task: UUID, attempt: int | None, after: Position, caller: Caller = LOCAL) -> LineListener:
        """A listener to the lines of a task, or of one of its attempts, after a position: first those that there are.
        Give it to ``leave`` in the end.

        Raises ``TooManyListeners``.
        """
        self._all.refuse(caller)
        async with self._store.statement() as connection:
            newest = await run_logs.newest(connection)
        if not self._listeners:
            # Whatever comes in from here on is told; what was before, the listener reads by itself.
            self._last = newest
        listener = LineListener(self._store, task, attempt, after)
        self._all.add(listener, caller)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: LineListener) -> None:
        """Tell this one nothing more."""
        self._all.discard(listener)
        self._listeners.discard(listener)

    async def single_pass(self) -> bool:
        """Tell every listener what is new of its task; True when there may be more."""
        if not self._listeners:
            return False
        tasks = {listener.task for listener in self._listeners}
        looks = time.monotonic() - self._ended_at >= _ENDED_SECONDS
        ended: dict[UUID, bool] = {}
        async with self._store.statement() as connection:
            # Before the lines: those that came in until then are told.
            if looks:
                ended = await run_logs.ended(connection, tasks)
                self._ended_at = time.monotonic()
            rows = await run_logs.new_of(connection, tasks, self._last, _ROWS_A_PASS)
        for row in rows:
            self._last = row.id
            for listener in [one for one in self._listeners if one.task == row.task_id and not one.offer(row)]:
                self._end(listener)
        if looks and len(rows) < _ROWS_A_PASS:
            self._end_over(ended)
        return len(rows) == _ROWS_A_PASS

    def _end_over(self, ended: Mapping[UUID, bool]) -> None:
        now = time.monotonic()
        for listener in [one for one in self._listeners if one.task in ended]:
            if listener.has_ended_at is None:
                listener.has_ended_at = now
            if ended[listener.task] or now - listener.has_ended_at >= _LAST_LINES_SECONDS:
                self._end(listener, is_over=True)

    def _end(self, listener: LineListener, *, is_over: bool = False) -> None:
        self.leave(listener)
        listener.end(is_over=is_over)
