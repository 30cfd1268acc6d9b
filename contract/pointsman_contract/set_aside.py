"""Messages that nobody can run are set aside: kept for a person to look at, counted, and told.

Each is an entry of the stream ``keys.SET_ASIDE``. Its fields, all of them bytes: ``queue``, ``reason``,
``bytes`` (how long the message is), ``head`` and ``tail`` (a short message is all ``head``, of a long one both ends are
kept), and, where they could be read, ``task`` and ``task_type``. ``fetch.lua`` writes such entries too.
"""

MOST_KEPT = 1000
"""The oldest are given up for newer ones; they stay counted."""
CUT_BYTES = 2048
"""Of either end of a message that is longer than both."""
NAME_CHARACTERS = 200
"""Of a task's id and its type."""
UNKNOWN_QUEUE = "unknown"
"""The queue of a message that says nothing true about it."""


def ends(message: bytes) -> tuple[bytes, bytes]:
    """What is kept of a message: it all, or its two ends."""
    if len(message) <= 2 * CUT_BYTES:
        return message, b""
    return message[:CUT_BYTES], message[-CUT_BYTES:]
