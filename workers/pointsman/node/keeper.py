"""Outcomes are kept until the recorder has passed them, and appended again when Redis lost them.

An outcome that Redis accepted can still be lost with Redis. So the process that reported it keeps it until the
published position of the recorder has passed it; under a new epoch, whose stream begins empty, it appends it again.
"""

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pointsman.connection import AWAY, RedisConnection, Word
from pointsman.node.run_lines import LineSender
from pointsman.settings import Settings
from pointsman.stamp import Stamp
from pointsman_contract.keys import BREAKER_FAILURES, BREAKERS, CLAIM_SECONDS, CONTROL, EVENTS_PREFIX, claim

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_APPEND_SECONDS = 0.1
_BATCH = 100
_OVERHEAD_BYTES = 400
_LOG_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One ended attempt, ready for ``report.lua``."""

    task: str
    attempt: int
    token: str
    kind: str
    body: str
    verdict: tuple[Word, ...] = ()
    """What it means for the attempt's circuit breakers, as ``report.lua`` takes it."""

    def call(self, stamp: Stamp | None) -> tuple[tuple[str, ...], tuple[Word, ...], tuple[Word, ...]]:
        """Keys, head and tail of the script. Raises what the clock of ``stamp`` raises."""
        signed = "" if stamp is None else stamp.outcome(self.kind, self.task, self.attempt, self.body)
        tail = (self.task, self.attempt, self.token, self.kind, self.body, CLAIM_SECONDS, signed, *self.verdict)
        return (CONTROL, claim(self.task), BREAKERS, BREAKER_FAILURES), (EVENTS_PREFIX,), tail


@dataclass(frozen=True, slots=True)
class Note:
    """An event that belongs to no claim, ready for ``append.lua``."""

    kind: str
    task: str
    body: str

    def call(self, stamp: Stamp | None) -> tuple[tuple[str, ...], tuple[Word, ...], tuple[Word, ...]]:
        """Keys, head and tail of the script. Raises what the clock of ``stamp`` raises."""
        signed = () if stamp is None else stamp.event(self.kind, self.task, self.body)
        return (CONTROL,), (EVENTS_PREFIX,), (self.kind, self.task, self.body, *signed)


@dataclass(slots=True)
class _Kept:
    outcome: Outcome
    epoch: int
    position: tuple[int, int]


_RECORDED = re.compile(r"\d{1,10}/\d{1,20}-\d{1,20}")


def position(stream_id: str) -> tuple[int, int]:
    """A stream id as something that compares."""
    milliseconds, _, number = stream_id.partition("-")
    return int(milliseconds), int(number or 0)


class Keeper:
    """Keeps the outcomes of one process and appends its notes, on a thread with its own connection.

    ``show(kept, epoch)`` is called after every change: how many outcomes are kept, and the lowest epoch one of them
    was last appended under.
    """

    def __init__(self, settings: Settings, show: Callable[[int, int], None]) -> None:
        self._redis = RedisConnection(settings)
        self._show = show
        self._limit_bytes = settings.kept_bytes
        self._bytes = 0
        self._shown_epoch = 0
        self._kept: deque[_Kept] = deque()
        self._notes: deque[Note] = deque()
        self._latest: dict[str, Note] = {}
        self.lines = LineSender(self._wake)
        """What runs write; sent after everything else."""
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._dropped = 0
        self._dropped_logged_at = 0.0

    def keep(self, outcome: Outcome, epoch: int, stream_id: str) -> None:
        """Keep an outcome that Redis has just accepted."""
        with self._lock:
            self._kept.append(_Kept(outcome, epoch, position(stream_id)))
            self._bytes += len(outcome.body) + _OVERHEAD_BYTES
            self._drop_oldest()
            self._shown_epoch = epoch if len(self._kept) == 1 else min(epoch, self._shown_epoch)
            self._show(len(self._kept), self._shown_epoch)
        self._wake()

    def note(self, note: Note) -> None:
        """Append a note soon; costs the caller no round trip."""
        with self._lock:
            self._notes.append(note)
            self._bytes += len(note.body) + _OVERHEAD_BYTES
            self._drop_oldest()
        self._wake()

    def note_latest(self, note: Note) -> None:
        """Append a note soon, unless a newer one of its task comes before; it may be lost."""
        with self._lock:
            self._latest[note.task] = note
        self._wake()

    def close(self, seconds: float) -> None:
        """Wait at most so long for notes and lines to be appended and outcomes to be recorded, then end the thread."""
        deadline = time.monotonic() + seconds
        self.lines.hurry()
        while (self._notes or self._kept or self.lines.can_send) and time.monotonic() < deadline:
            self._stop.wait(0.02)
        self._stop.set()
        self._work.set()
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()) + 0.1)

    def _wake(self) -> None:
        if self._thread is None:
            self._begin()
        if not self._work.is_set():
            self._work.set()

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="pointsman-keeper", daemon=True)
                self._thread.start()

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._work.wait()
            try:
                self.run_once()
            except AWAY as error:
                logger.debug("keeper: Redis does not answer: %s", error)
                self._redis.close()
            except Exception:
                logger.exception("keeper: unexpected error")
            with self._lock:
                if not self._kept and not self._notes and not self._latest and not self.lines.is_pending:
                    self._work.clear()
                    # Who writes a line holds no lock, and may have seen it set.
                    if self.lines.is_pending:
                        self._work.set()
            self._stop.wait(_APPEND_SECONDS if self._notes else _POLL_SECONDS)

    def run_once(self) -> None:
        """One pass: append the notes, look what the recorder has passed, then send lines. Raises one of ``AWAY``."""
        self._append_latest()
        self._append_notes()
        self._look_after_kept()
        self.lines.send(self._redis)

    def _look_after_kept(self) -> None:
        if not self._kept:
            return
        epoch, run_id, recorded = self._redis.command("HMGET", CONTROL, "epoch", "run_id", "recorded")
        if not epoch or not epoch.isdecimal() or run_id != self._redis.run_id:
            return
        self._append_again(int(epoch))
        if recorded and _RECORDED.fullmatch(recorded):
            recorded_epoch, _, stream_id = recorded.partition("/")
            self._forget(int(recorded_epoch), position(stream_id))

    def _append_latest(self) -> None:
        with self._lock:
            latest = list(self._latest.values())
            self._latest.clear()
        if latest:
            self._redis.scripts("append", [note.call(self._redis.stamp) for note in latest])

    def _append_notes(self) -> None:
        while self._notes:
            batch = list(self._notes)[:_BATCH]
            answers = self._redis.scripts("append", [note.call(self._redis.stamp) for note in batch])
            done = next((index for index, answer in enumerate(answers) if answer[0] != "ok"), len(batch))
            with self._lock:
                for note in batch[:done]:
                    # The oldest may have been dropped meanwhile, by the bound.
                    if self._notes and self._notes[0] is note:
                        self._notes.popleft()
                        self._bytes -= len(note.body) + _OVERHEAD_BYTES
            if done < len(batch):
                return

    def _append_again(self, epoch: int) -> None:
        stale = [kept for kept in list(self._kept) if kept.epoch != epoch]
        for start in range(0, len(stale), _BATCH):
            batch = stale[start : start + _BATCH]
            stamp = self._redis.stamp
            answers = self._redis.scripts("report", [kept.outcome.call(stamp) for kept in batch])
            for kept, answer in zip(batch, answers, strict=True):
                if answer[0] != "ok":
                    return
                kept.epoch, kept.position = int(answer[1]), position(answer[2])
        if stale:
            logger.warning("%d outcomes were appended again under epoch %d", len(stale), epoch)
            with self._lock:
                self._show_all()

    def _forget(self, epoch: int, recorded: tuple[int, int]) -> None:
        with self._lock:
            before = len(self._kept)
            while self._kept and self._kept[0].epoch == epoch and self._kept[0].position <= recorded:
                self._bytes -= len(self._kept.popleft().outcome.body) + _OVERHEAD_BYTES
            if len(self._kept) != before:
                self._show_all()

    def _show_all(self) -> None:
        self._shown_epoch = min((kept.epoch for kept in self._kept), default=0)
        self._show(len(self._kept), self._shown_epoch)

    def _drop_oldest(self) -> None:
        while self._bytes > self._limit_bytes and len(self._kept) + len(self._notes) > 1:
            body = self._notes.popleft().body if self._notes else self._kept.popleft().outcome.body
            self._bytes -= len(body) + _OVERHEAD_BYTES
            self._dropped += 1
        if self._dropped and time.monotonic() - self._dropped_logged_at > _LOG_SECONDS:
            logger.error("%d unrecorded events were dropped: more than %d bytes", self._dropped, self._limit_bytes)
            self._dropped, self._dropped_logged_at = 0, time.monotonic()
