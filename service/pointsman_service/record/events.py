"""Stream entries as the recorder understands them: the one door. What is not as the contract says it is left out, an
error of its own, and never a halt.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic_core import ValidationError
from uuid_utils import UUID

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.dependencies import DEPENDENCY, TASK_TYPE, key_of
from pointsman_contract.events import EventBody, EventKind
from pointsman_contract.signing import Forged
from pointsman_contract.validation import first_fault
from pointsman_service.errors import ServiceError
from pointsman_service.record.bodies import LARGEST_ATTEMPT, LONGEST_BREAKER, LONGEST_OWNER, read_body
from pointsman_service.record.proof import Mark, Proof

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
"""No entry tells of a moment before."""
AHEAD_SECONDS = 86_400.0
"""Nor of one that is later than this from now."""
_LONGEST_BODY = 1024 * 1024
LONGEST_ENTRY = 8 * 1024 * 1024
"""Bytes: those of a catalogue. Any other entry is far shorter, and one that is longer is not even read."""


class UnreadableEvent(ServiceError):
    """The entry is not one of ours."""


class ForgedEvent(UnreadableEvent):
    """The entry is nobody's who holds a key."""


class Event(NamedTuple):
    """One entry of the stream; times are already on the database clock."""

    stream_id: str
    kind: EventKind
    task: str
    attempt: int
    at: datetime
    late: bool
    body: EventBody
    """As ``pointsman_contract.events.BODIES`` says of its kind, and ``pointsman_service.record.bodies`` has checked."""
    breaker: str = ""
    """Of ``held``: the circuit breaker that held it."""
    started_at: datetime | None = None
    """Of an attempt that ended: when it began."""
    specs: Sequence[TaskTypeSpec] = ()
    """Of ``catalogue``: the task types."""
    mark: Mark | None = None
    """Of one that is to be written down once, where events are signed."""
    plain: tuple[str, str] | None = None
    """Message and traceback of an error that is sealed: its group is made of them, and nothing else."""


_KINDS = {str(kind).encode(): kind for kind in EventKind}
_TASKLESS = frozenset({EventKind.NATIVE, EventKind.CATALOGUE})
_ENDED = frozenset({EventKind.SUCCEEDED, EventKind.FAILED, EventKind.BLOCKED})
_ATTEMPTS = _ENDED | {EventKind.STARTED}
"""Kinds that tell of an attempt, and not of a message or of nothing."""
_LATE = {b"0": False, b"1": True}


def parse(entry: list[Any], offset_seconds: float, now: float, proof: Proof | None = None) -> Event:
    """An event from one entry of XREAD, ``now`` in Unix seconds on the database clock. Raises ``UnreadableEvent``."""
    mark = None
    try:
        stream_id = entry[0].decode()
        flat = entry[1]
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        if 2 * len(fields) != len(flat):
            raise ValueError("a field is there twice")
        kind = _KINDS.get(fields[b"kind"])
        if kind is None:
            raise ValueError("a kind that is not known")
        text = fields[b"body"]
        if len(text) > _LONGEST_BODY and kind is not EventKind.CATALOGUE:
            raise ValueError(f"a body of {len(text)} bytes")
        if proof is not None:
            mark = proof.of(fields)
        body: Any = read_body(kind, text)
        task = _task(kind, fields[b"task"])
        attempt = _attempt(kind, fields[b"attempt"])
        late = _LATE.get(fields.get(b"late", b"0"))
        if late is None:
            raise ValueError("late is neither 0 nor 1")
        latest = now + AHEAD_SECONDS
        at = _moment(float(fields[b"at"]) + offset_seconds, latest)
        started_at = _moment(body["started_at"] + offset_seconds, latest) if kind in _ENDED else None
        breaker = _breaker(fields[b"breaker"].decode()) if kind is EventKind.HELD else ""
        if kind is EventKind.BLOCKED:
            _breaker(body["held_by"])
        specs = _specs(body["specs"]) if kind is EventKind.CATALOGUE else ()
    except Forged as fault:
        raise ForgedEvent(str(fault)) from None
    except KeyError as error:
        raise UnreadableEvent(f"no {error}"[:200]) from None
    except (ValueError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise UnreadableEvent(f"{type(error).__name__}: {error}"[:200]) from None
    return Event(stream_id, kind, task, attempt, at, late, body, breaker, started_at, specs, mark)


def _task(kind: EventKind, word: bytes) -> str:
    task = word.decode()
    if kind in _TASKLESS:
        if len(task) > LONGEST_OWNER:
            raise ValueError("an id that is too long")
    elif str(UUID(task)) != task:
        raise ValueError("an id that is written otherwise")
    return task


def _attempt(kind: EventKind, word: bytes) -> int:
    if not word.isdigit() or len(word) > 5:
        raise ValueError("an attempt that is no number")
    attempt = int(word)
    if attempt > LARGEST_ATTEMPT or (attempt == 0 and kind in _ATTEMPTS):
        raise ValueError("an attempt out of range")
    return attempt


def _moment(unix_seconds: float, latest: float) -> datetime:
    # Written so that it is false of NaN.
    if not _EARLIEST <= unix_seconds <= latest:
        raise ValueError("a time out of range")
    return datetime.fromtimestamp(unix_seconds, UTC)


def _breaker(name: str) -> str:
    scope, own = key_of(name)
    if scope not in (TASK_TYPE, DEPENDENCY) or not own or len(name) > LONGEST_BREAKER:
        raise ValueError("not the name of a circuit breaker")
    return name


def _specs(found: list[Any]) -> list[TaskTypeSpec]:
    # The database takes no NUL, and no number that is none.
    if "\\u0000" in json.dumps(found, allow_nan=False):
        raise ValueError("a specification with a NUL character")
    try:
        return [TaskTypeSpec.model_validate(spec) for spec in found]
    except ValidationError as error:
        raise ValueError(first_fault(error, "a specification")) from None
