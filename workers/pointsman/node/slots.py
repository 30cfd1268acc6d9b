"""Shared memory between a worker parent and its children: who runs what.

The parent makes the memory before the first fork. Each child owns one slot and is its only writer while it lives; the
parent reads all of them, writes only which run it was told to cancel, and frees the slot of a dead child. A sequence
number that is odd during a write lets the reader see a slot either before or after a write, never in between.
"""

import fcntl
import mmap
import os
import struct
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from pointsman.errors import WorkerError


class Phase(IntEnum):
    """What the child in a slot does."""

    IDLE = 0
    ASKING = 1
    """At the gate: the task and the token are known, the attempt is not."""
    RUNNING = 2
    """The attempt is claimed and not reported yet."""


@dataclass(frozen=True, slots=True)
class Run:
    """One managed run as its slot tells it. Monotonic times are of this machine, comparable between processes."""

    task: str
    token: str
    task_type: str
    queue: str
    dispatch: int
    accepted_at: float
    """Monotonic."""
    hard_limit_seconds: float
    """0 when there is none."""
    attempt: int = 0
    started_at: float = 0.0
    """Unix seconds on the Redis clock."""
    body_at: float = 0.0
    """Monotonic."""
    interruptions: int = 0
    """Earlier attempts that ended with their worker: they were no tries of the task's own."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One slot at one moment."""

    index: int
    pid: int
    phase: Phase
    run: Run | None
    kept: int
    """Outcomes this child keeps until the recorder has passed them."""
    kept_epoch: int
    """The epoch under which all of them have been appended."""
    calling: str = ""
    """The dependency it calls; empty when it calls none that it named."""


# sequence, pid, phase, dispatch, attempt, kept, kept_epoch, length of the parked outcome,
# accepted_at, hard limit, started_at, body_at, task, token, task type, queue, interruptions
_RECORD = struct.Struct("<QIIIIIQI4d64s32s400s64sI")
_SEQUENCE = struct.Struct("<Q")
_PID = struct.Struct("<I")
_KEPT = struct.Struct("<IQ")
_PARKED = struct.Struct("<I")
_PHASE = struct.Struct("<I")
_RUN = struct.Struct("<III")
_PID_AT = 8
_PHASE_AT = 12
_KEPT_AT = 24
_PARKED_AT = 36
_REST = struct.Struct("<4d64s32s400s64sI")
_REST_AT = 40
_CANCEL_AT = 704
_TOKEN_BYTES = 32
_CALLING_AT = 768
_CALLING_BYTES = 200
_HEAD_BYTES = 1024
_PARK_BYTES = 192 * 1024
_SLOT_BYTES = _HEAD_BYTES + _PARK_BYTES
_PAGE = 4096


class SlotsFull(WorkerError):
    """Every slot is taken: there are more children than were planned for."""


class Slots:
    """The shared memory. Made in the parent, inherited by its children."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._memory = mmap.mmap(-1, _PAGE + count * _SLOT_BYTES)
        self._lock_file = _anonymous_file()

    @property
    def most_children(self) -> int:
        """How many may live at once, beside those that died and are not reported yet."""
        return self.count // 2

    def stop_waiting(self) -> None:
        """Tell every child that the parent shuts down: nobody waits at the gate any longer."""
        self._memory[0] = 1

    @property
    def stopping(self) -> bool:
        """Whether the parent shuts down."""
        return self._memory[0] == 1

    def release_waiting(self, wanted: bool) -> None:
        """Tell every child whether messages that have not begun shall be released: the node is off its queues."""
        self._memory[1] = int(wanted)

    @property
    def releasing(self) -> bool:
        """Whether they shall."""
        return self._memory[1] == 1

    def take(self, pid: int) -> "Slot":
        """A free slot for a new child. Raises ``SlotsFull``."""
        # A record lock goes with its process, so a child killed in here leaves nothing locked.
        fcntl.lockf(self._lock_file, fcntl.LOCK_EX)
        try:
            for index in range(self.count):
                start = self._start(index)
                if _PID.unpack_from(self._memory, start + _PID_AT)[0] == 0:
                    self._memory[start + _PHASE_AT : start + _HEAD_BYTES] = bytes(_HEAD_BYTES - _PHASE_AT)
                    _PID.pack_into(self._memory, start + _PID_AT, pid)
                    return Slot(self._memory, start, index)
        finally:
            fcntl.lockf(self._lock_file, fcntl.LOCK_UN)
        raise SlotsFull(f"all {self.count} slots are taken")

    def taken(self) -> Iterator[Snapshot]:
        """Every slot that belongs to a child."""
        for index in range(self.count):
            if _PID.unpack_from(self._memory, self._start(index) + _PID_AT)[0]:
                yield self._read(index)

    def look(self, index: int) -> Snapshot:
        """One slot as it is now."""
        return self._read(index)

    def cancel(self, index: int, token: str) -> None:
        """Tell the child in a slot that the run with this token is to end. Its next run has another token."""
        at = self._start(index) + _CANCEL_AT
        self._memory[at : at + _TOKEN_BYTES] = token.encode().ljust(_TOKEN_BYTES, b"\0")

    def is_cancelled(self, index: int, token: str) -> bool:
        """Whether ``cancel`` was said of this run."""
        return _names(self._memory, self._start(index), token)

    def parked(self, index: int) -> str | None:
        """The outcome a child parked while Redis was away, as ``Slot.park`` got it."""
        start = self._start(index)
        length = _PARKED.unpack_from(self._memory, start + _PARKED_AT)[0]
        if not length:
            return None
        text = start + _HEAD_BYTES
        return bytes(self._memory[text : text + length]).decode()

    def free(self, index: int) -> None:
        """Give the slot of a dead child back."""
        start = self._start(index)
        _PHASE.pack_into(self._memory, start + _PHASE_AT, Phase.IDLE)
        _PARKED.pack_into(self._memory, start + _PARKED_AT, 0)
        _PID.pack_into(self._memory, start + _PID_AT, 0)

    def _start(self, index: int) -> int:
        return _PAGE + index * _SLOT_BYTES

    def _read(self, index: int) -> Snapshot:
        start = self._start(index)
        # A child killed inside a write leaves an odd number for ever: after some tries the slot is read as it is.
        for _ in range(1000):
            before = _SEQUENCE.unpack_from(self._memory, start)[0]
            fields = _RECORD.unpack_from(self._memory, start)
            if before % 2 == 0 and _SEQUENCE.unpack_from(self._memory, start)[0] == before:
                break
        (_, pid, phase, dispatch, attempt, kept, kept_epoch, _, *rest) = fields
        accepted_at, hard_limit, started_at, body_at, task, token, task_type, queue, interruptions = rest
        run = None
        if phase != Phase.IDLE:
            run = Run(
                task=_text(task),
                token=_text(token),
                task_type=_text(task_type),
                queue=_text(queue),
                dispatch=dispatch,
                accepted_at=accepted_at,
                hard_limit_seconds=hard_limit,
                attempt=attempt,
                started_at=started_at,
                body_at=body_at,
                interruptions=interruptions,
            )
        at = start + _CALLING_AT
        calling = _text(self._memory[at : at + _CALLING_BYTES].split(b"\0", 1)[0]) if run is not None else ""
        return Snapshot(index, pid, Phase(phase), run, kept, kept_epoch, calling)


class Slot:
    """A child's own slot. Two threads write it: the one that runs tasks and the one that keeps outcomes."""

    def __init__(self, memory: mmap.mmap, start: int, index: int) -> None:
        self.index = index
        self._memory = memory
        self._start = start
        self._sequence = _SEQUENCE.unpack_from(memory, start)[0] | 1
        self._sequence += 1
        self._lock = threading.Lock()
        with self._lock:
            self._write_sequence(0)

    def show(self, phase: Phase, run: Run) -> None:
        """Say what this child does."""
        with self._lock:
            self._write_sequence(1)
            start = self._start
            _RUN.pack_into(self._memory, start + _PHASE_AT, phase, run.dispatch, run.attempt)
            _REST.pack_into(
                self._memory,
                start + _REST_AT,
                run.accepted_at,
                run.hard_limit_seconds,
                run.started_at,
                run.body_at,
                run.task.encode()[:64],
                run.token.encode(),
                run.task_type.encode()[:400],
                run.queue.encode()[:64],
                run.interruptions,
            )
            self._write_sequence(1)

    def clear(self) -> None:
        """Say that this child runs nothing."""
        with self._lock:
            self._write_sequence(1)
            _PHASE.pack_into(self._memory, self._start + _PHASE_AT, Phase.IDLE)
            _PARKED.pack_into(self._memory, self._start + _PARKED_AT, 0)
            self._memory[self._start + _CALLING_AT] = 0
            self._write_sequence(1)

    def show_calling(self, dependency: str) -> None:
        """Say which dependency is called now; nothing when it is empty."""
        at = self._start + _CALLING_AT
        self._memory[at : at + _CALLING_BYTES] = dependency.encode()[:_CALLING_BYTES].ljust(_CALLING_BYTES, b"\0")

    def park(self, outcome: str) -> bool:
        """Leave a finished run's outcome to the parent, should this child be killed before Redis took it.

        False when it is too long; then the parent would report the child's death instead.
        """
        text = outcome.encode()
        if len(text) > _PARK_BYTES:
            return False
        at = self._start + _HEAD_BYTES
        self._memory[at : at + len(text)] = text
        _PARKED.pack_into(self._memory, self._start + _PARKED_AT, len(text))
        return True

    def is_cancelled(self, token: str) -> bool:
        """Whether the parent was told to cancel the run with this token."""
        return _names(self._memory, self._start, token)

    def show_kept(self, kept: int, epoch: int) -> None:
        """Say how many outcomes this child keeps, and the epoch all of them have been appended under."""
        with self._lock:
            self._write_sequence(1)
            _KEPT.pack_into(self._memory, self._start + _KEPT_AT, kept, epoch)
            self._write_sequence(1)

    def release(self) -> None:
        """Give the slot back; not with an attempt in it, which the parent then finds and reports."""
        if _PHASE.unpack_from(self._memory, self._start + _PHASE_AT)[0] != Phase.IDLE:
            return
        _PID.pack_into(self._memory, self._start + _PID_AT, 0)

    def _write_sequence(self, step: int) -> None:
        self._sequence += step
        _SEQUENCE.pack_into(self._memory, self._start, self._sequence)


def _names(memory: mmap.mmap, start: int, token: str) -> bool:
    at = start + _CANCEL_AT
    return memory[at : at + _TOKEN_BYTES] == token.encode().ljust(_TOKEN_BYTES, b"\0")


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode(errors="replace")


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("pointsman-slots")
    descriptor, path = tempfile.mkstemp(prefix="pointsman-slots")
    os.unlink(path)
    return descriptor
