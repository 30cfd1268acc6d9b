"""Stream entries as the recorder understands them. An entry that cannot be understood is an error of its own, never
a halt.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from pydantic_core import from_json
from uuid_utils import UUID

from contract.events import ErrorBody, EventKind


class UnreadableEvent(Exception):
    """The entry is not one of ours."""


class Event(NamedTuple):
    """One entry of the stream; times are already on the database clock."""

    stream_id: str
    kind: EventKind
    task: str
    attempt: int
    at: datetime
    late: bool
    body: dict[str, Any]
    breaker: str = ""
    """Of ``held``: the circuit breaker that held it."""

    def moment(self, name: str, offset_seconds: float) -> datetime:
        """A time of the body, moved to the database clock."""
        return moment(float(self.body[name]), offset_seconds)

    @property
    def error(self) -> tuple[str | None, str | None, str | None]:
        """Type, message and traceback of a failure."""
        error = cast("ErrorBody | None", self.body.get("error"))
        if error is None:
            return None, None, None
        return clean(error["type"]), clean(error["message"]), clean(error["traceback"])


_KINDS = {str(kind).encode(): kind for kind in EventKind}
_TASK_KINDS = frozenset(EventKind) - {EventKind.NATIVE, EventKind.CATALOGUE}


def parse(entry: list[Any], offset_seconds: float) -> Event:
    """An event from one entry of XREAD. Raises ``UnreadableEvent``."""
    try:
        stream_id = entry[0].decode()
        flat = entry[1]
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        kind = _KINDS[fields[b"kind"]]
        task = fields[b"task"].decode()
        if kind in _TASK_KINDS:
            task = str(UUID(task))
        body = from_json(fields[b"body"])
        if not isinstance(body, dict):
            raise TypeError("the body is not an object")
        at = moment(float(fields[b"at"]), offset_seconds)
        breaker = fields.get(b"breaker", b"").decode()
        return Event(stream_id, kind, task, int(fields[b"attempt"]), at, fields.get(b"late") == b"1", body, breaker)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise UnreadableEvent(f"{type(error).__name__}: {error}"[:200]) from error


def moment(unix_seconds: float, offset_seconds: float) -> datetime:
    """A time of the Redis clock on the database clock."""
    return datetime.fromtimestamp(unix_seconds + offset_seconds, UTC)


def clean(text: str) -> str:
    """Text that PostgreSQL takes: no NUL, no lone surrogates."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
