"""Lines that runs wrote, on their way from one process to Redis: the newest of each attempt, and never many.

The thread that writes adds to the ring of its run, and another one takes from it. Nothing here waits, and a run that
writes more than is taken loses its oldest lines: their numbers are missing. Lines that were not taken yet go with their
process.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pointsman.connection import RedisConnection, Word
from pointsman.stamp import Stamp
from pointsman_contract.keys import CONTROL, LINES
from pointsman_contract.run_log import ATTEMPT_BYTES, ENTRY_BYTES, LINES_SECONDS, MEMORY_PERCENT, MOST_ENTRIES

logger = logging.getLogger(__name__)

_GATHER_SECONDS = 0.25
"""A run that goes on sends nothing before, so that one that writes little and ends soon sends one entry."""
_BYTES_A_SECOND = 32 * 1024
_BURST_BYTES = 256 * 1024
"""One process sends so much at once, and then no more than that a second."""
_REFUSED_SECONDS = 2.0
_ENDED_BYTES = 256 * 1024
_MOST_RUNS = 1000
"""Runs that have ended wait for no more than this."""
_CALLS = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """Lines that follow one another, ready for ``append_lines.lua``."""

    first: int
    count: int
    is_last: bool
    text: str


class RunLines:
    """The lines of one attempt that are not sent yet. One thread at a time writes; another one takes."""

    __slots__ = (
        "_begun",
        "_next",
        "_taken",
        "_written",
        "attempt",
        "began_at",
        "entry",
        "has_ended",
        "ring",
        "run",
        "task",
    )

    def __init__(self, task: str, attempt: int, run: str) -> None:
        self.task = task
        self.attempt = attempt
        self.run = run
        self.began_at = time.monotonic()
        self.ring: deque[tuple[int, str]] = deque()
        """Numbers and lines, the oldest first."""
        self.has_ended = False
        self.entry: Entry | None = None
        """What was taken and Redis has not accepted."""
        self._next = 1
        self._begun: tuple[int, str] | None = None
        # Each has one thread that changes it.
        self._written = 0
        self._taken = 0

    @property
    def size(self) -> int:
        """Bytes in the ring."""
        return self._written - self._taken

    def write(self, line: str) -> None:
        """Add a line, as JSON. The oldest go while there are too many."""
        self.ring.append((self._next, line))
        self._next += 1
        self._written += _size(line)
        while self.size > ATTEMPT_BYTES and self._drop_oldest():
            pass

    @property
    def is_pending(self) -> bool:
        """Whether there is anything to send."""
        return bool(self.ring) or self.has_ended or self.entry is not None or self._begun is not None

    def take(self) -> Entry | None:
        """The next entry, the same one until it is ``accepted``; None when there is nothing to send now."""
        if self.entry is None:
            self.entry = self._gathered()
        return self.entry

    def accepted(self) -> bool:
        """Redis has the entry: whether it was the last."""
        done = self.entry is not None and self.entry.is_last
        self.entry = None
        return done

    def let_go(self) -> None:
        """Let every line go but for their number."""
        while self._drop_oldest():
            pass
        self._begun = self.entry = None

    def _drop_oldest(self) -> bool:
        try:
            self._written -= _size(self.ring.popleft()[1])
        except IndexError:
            return False
        return True

    def _gathered(self) -> Entry | None:
        # Asked first: whatever was written before it ended is in the ring.
        has_ended = self.has_ended
        found: list[str] = []
        first, bytes_ = 0, 0
        while (line := self._peek()) is not None:
            number, text = line
            if found and (number != first + len(found) or bytes_ + _size(text) > ENTRY_BYTES):
                break
            self._begun = None
            first = first or number
            found.append(text)
            bytes_ += _size(text)
        is_last = has_ended and self._begun is None and not self.ring
        if not found and not is_last:
            return None
        return Entry(first or self._next, len(found), is_last, f"[{','.join(found)}]")

    def _peek(self) -> tuple[int, str] | None:
        if self._begun is None:
            try:
                self._begun = self.ring.popleft()
            except IndexError:
                return None
            self._taken += _size(self._begun[1])
        return self._begun


class LineSender:
    """The lines of one process. ``wake`` lets the thread that sends look for them soon."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._runs: deque[RunLines] = deque()
        self._room = float(_BURST_BYTES)
        self._room_at = time.monotonic()
        self._not_before = 0.0

    @property
    def is_pending(self) -> bool:
        """Whether there is anything to send."""
        return any(run.is_pending for run in list(self._runs))

    @property
    def can_send(self) -> bool:
        """Whether there is, and Redis has not just refused it."""
        return time.monotonic() >= self._not_before and self.is_pending

    def hurry(self) -> None:
        """The process ends: send what there is."""
        self._room = 2.0 * _BURST_BYTES

    def begin(self, task: str, attempt: int, run: str) -> RunLines:
        """For the lines of an attempt that writes its first one."""
        lines = RunLines(task, attempt, run)
        self._runs.append(lines)
        return lines

    def write(self, lines: RunLines, line: str) -> None:
        """Add a line, as JSON."""
        lines.write(line)
        self._wake()

    def end(self, lines: RunLines) -> None:
        """The attempt writes no more."""
        lines.has_ended = True
        ended = len(self._runs)
        if ended > _MOST_RUNS:
            self._runs.popleft()
        if ended * ATTEMPT_BYTES > _ENDED_BYTES:
            self._make_room()
        self._wake()

    def send(self, redis: RedisConnection) -> None:
        """One pass: send what there is room for. Raises one of ``pointsman.connection.AWAY``; nothing is lost by that.

        What Redis may have taken before it did not answer is sent again under the same name.
        """
        if not self._runs:
            return
        now = time.monotonic()
        self._room = min(float(_BURST_BYTES), self._room + (now - self._room_at) * _BYTES_A_SECOND)
        self._room_at = now
        while now >= self._not_before and self._room > 0:
            sent = [
                (run, entry)
                for run in list(self._runs)
                if (run.has_ended or now - run.began_at >= _GATHER_SECONDS) and (entry := run.take()) is not None
            ][:_CALLS]
            if not sent:
                return
            answers = redis.scripts("append_lines", [_call(run, entry, redis.stamp) for run, entry in sent])
            for (run, entry), answer in zip(sent, answers, strict=True):
                if answer[0] != "ok":
                    logger.debug("Redis takes no lines: %s", answer[1])
                    self._not_before = now + _REFUSED_SECONDS
                    continue
                self._room -= _size(entry.text)
                if run.accepted():
                    self._forget(run)

    def _forget(self, run: RunLines) -> None:
        try:
            self._runs.remove(run)
        except ValueError:
            logger.debug("too many runs wait for their lines to be sent: one has gone")

    def _make_room(self) -> None:
        """Let the lines of the oldest runs go while all of them are too many."""
        size = sum(run.size for run in self._runs)
        for run in list(self._runs):
            if size <= _ENDED_BYTES or not run.has_ended:
                return
            size -= run.size
            run.let_go()


def _size(line: str) -> int:
    return len(line) if line.isascii() else len(line.encode())


def _call(
    run: RunLines, entry: Entry, stamp: Stamp | None
) -> tuple[tuple[str, ...], tuple[Word, ...], tuple[Word, ...]]:
    tail: tuple[Word, ...] = (run.task, run.attempt, run.run, entry.first, entry.count, int(entry.is_last), entry.text)
    signed = () if stamp is None else (stamp.lines(*map(str, tail)),)
    return (CONTROL, LINES), (), (*tail, MOST_ENTRIES, MEMORY_PERCENT, LINES_SECONDS, *signed)
