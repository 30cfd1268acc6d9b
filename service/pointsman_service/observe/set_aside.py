"""Messages that workers set aside because nobody could run them: how many, and the newest of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pointsman_contract import keys
from pointsman_service.redis import RedisServer

MOST_SHOWN = 100
"""On a page."""
_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class SetAside:
    """How many messages of one queue were set aside."""

    total: int
    """Ever, on this Redis."""
    open: int
    """Since an operator last discarded them."""


@dataclass(frozen=True, slots=True)
class SetAsideMessage:
    """One message that was set aside and is kept."""

    id: str
    set_aside_at: datetime
    queue: str
    reason: str
    task_id: str | None
    task_type: str | None
    bytes: int
    """Of the whole message."""
    text: str
    """Its beginning; what is no printable text is escaped."""
    end: str | None
    """Its end, when it is too long to be kept whole."""


async def counts(server: RedisServer) -> dict[str, SetAside]:
    """By queue. Raises ``BrokerAway``."""
    flat: Sequence[bytes] = await server.command("HGETALL", keys.SET_ASIDE_COUNTS)
    found = dict(zip(flat[::2], flat[1::2], strict=True))
    queues = sorted({field.partition(b":")[2] for field in found})
    return {
        _text(queue): SetAside(_number(found.get(b"total:" + queue)), _number(found.get(b"open:" + queue)))
        for queue in queues
    }


async def newest(server: RedisServer, limit: int, before: str | None) -> list[SetAsideMessage]:
    """At most ``limit``, the newest first, of those older than the entry ``before``. Raises ``BrokerAway``."""
    if before is not None and not any(map(int, before.split("-"))):
        # Redis takes what is below its lowest id for a mistake.
        return []
    start = "+" if before is None else f"({before}"
    entries = await server.command("XREVRANGE", keys.SET_ASIDE, start, "-", "COUNT", limit)
    return [_message(id_, dict(zip(flat[::2], flat[1::2], strict=True))) for id_, flat in entries]


def _message(id_: bytes, fields: dict[bytes, bytes]) -> SetAsideMessage:
    def name(field: bytes) -> str | None:
        return _text(fields[field]) if field in fields else None

    return SetAsideMessage(
        id=id_.decode(),
        # Somebody else may have written an id of any year.
        set_aside_at=datetime.fromtimestamp(min(int(id_.partition(b"-")[0]) / 1000, _LATEST), UTC),
        queue=name(b"queue") or "",
        reason=name(b"reason") or "",
        task_id=name(b"task"),
        task_type=name(b"task_type"),
        bytes=_number(fields.get(b"bytes")),
        text=name(b"head") or "",
        end=name(b"tail") or None,
    )


def _number(text: bytes | None) -> int:
    return int(text) if text is not None and text.isdigit() and len(text) < 19 else 0


def _text(raw: bytes) -> str:
    """Without a character that a terminal or a browser would obey."""
    return "".join(_shown(raw.decode(errors="backslashreplace")))


def _shown(text: str) -> Iterator[str]:
    for character in text:
        yield character if character.isprintable() else character.encode("unicode_escape").decode()
