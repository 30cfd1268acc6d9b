"""How a message is set aside: the call of ``set_aside.lua``, and what is told of the message."""

import json
from typing import Any

from pointsman.transport.envelope import NotAMessage
from pointsman_contract.keys import SET_ASIDE, SET_ASIDE_COUNTS
from pointsman_contract.lua import source
from pointsman_contract.queues import UNACKED, UNACKED_INDEX
from pointsman_contract.set_aside import MOST_KEPT, NAME_CHARACTERS, ends

Word = str | bytes | int


def call(
    queue: str, tag: str, item: bytes, reason: str, task: object = None, task_type: object = None
) -> tuple[tuple[str, ...], tuple[Word, ...]]:
    """Keys and arguments of the script. ``tag`` is empty for a message that is not among the unacknowledged ones."""
    head, tail = ends(item)
    named: list[Word] = [
        word
        for name, value in (("task", task), ("task_type", task_type))
        if isinstance(value, str) and value.isprintable()
        for word in (name, value[:NAME_CHARACTERS])
    ]
    words: tuple[Word, ...] = (
        MOST_KEPT,
        tag,
        queue,
        "reason",
        reason,
        "bytes",
        len(item),
        "head",
        head,
        "tail",
        tail,
        *named,
    )
    return (SET_ASIDE, SET_ASIDE_COUNTS, UNACKED, UNACKED_INDEX), words


def command(queue: str, tag: str, item: bytes, reason: str) -> tuple[Word, ...]:
    """The command that sets one message aside. It is seldom sent, so it carries the script."""
    keys, words = call(queue, tag, item, reason)
    return ("EVAL", source("set_aside"), len(keys), *keys, "", *words)


def reason_of(error: Exception) -> str:
    """Why a message could not be opened, without its content."""
    return str(error) if isinstance(error, NotAMessage) else f"it cannot be opened: {type(error).__name__}"


def as_text(envelope: Any) -> bytes:
    """A message that was read already, about as it lay on its list."""
    try:
        return json.dumps(envelope, default=repr).encode(errors="replace")
    except (ValueError, TypeError, RecursionError):
        return repr(type(envelope)).encode()
