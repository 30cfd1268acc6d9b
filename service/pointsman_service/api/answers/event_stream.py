"""Server-sent events (WHATWG HTML): how they are written, and what every stream of them is sent with."""

import secrets
import time

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""A proxy that gathers what it passes on would keep events from their listener."""
KEEP_ALIVE_SECONDS = 15.0
_AWAY_MILLISECONDS, _APART_MILLISECONDS = 1000, 2000
"""All listeners of a process that stops come back at once, but not at the same moment."""


def event(name: str, data: bytes, event_id: str | None = None) -> bytes:
    """One event. ``data`` is JSON text without line breaks."""
    head = f"event: {name}\n" if event_id is None else f"event: {name}\nid: {event_id}\n"
    return b"%bdata: %b\n\n" % (head.encode(), data)


def opening() -> bytes:
    """The first thing that is sent: when to come back should the stream end."""
    return b"retry: %d\n: listening\n\n" % (_AWAY_MILLISECONDS + secrets.randbelow(_APART_MILLISECONDS))


class KeepAlive:
    """Says now and then that a stream is still there."""

    def __init__(self) -> None:
        self._sent_at = time.monotonic()

    def sent(self) -> None:
        """Something was sent."""
        self._sent_at = time.monotonic()

    def due(self, event_id: str | None = None) -> bytes:
        """A comment when nothing was sent for a while, with the ``event_id`` to come back with; else nothing."""
        if time.monotonic() - self._sent_at < KEEP_ALIVE_SECONDS:
            return b""
        self.sent()
        return b": \n\n" if event_id is None else f"id: {event_id}\n: \n\n".encode()
