"""What one connection, and all of them, may cost."""

import resource
from dataclasses import dataclass

from pointsman_service.settings import Settings

_OWN_FILES = 200
"""Files this process needs beside the connections of callers: the database's, the broker's, logs, modules."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a connection may cost. Seconds are of the event loop's clock."""

    connections: int = 1000
    """Open at once; for one more the longest idle is closed."""
    head_bytes: int = 32 * 1024
    """Of a request's head: its path and its header fields."""
    path_bytes: int = 8 * 1024
    """Of the path with its query."""
    fields: int = 100
    """Header fields of one request."""
    receive_seconds: float = 15.0
    """For a head to be complete, and for a body to go on; over a whole body it may be as slow as ``body_rate``."""
    body_rate: int = 16 * 1024
    """Bytes a second."""
    body_bytes: int = 16 * 1024 * 1024
    """Of one request's body that are read at all, wanted or not: more than any operation takes."""
    drain_seconds: float = 5.0
    """To send the rest of a body that was answered already."""
    idle_seconds: float = 75.0
    """Between two requests. Longer than load balancers keep a connection: who ends it first meets no request."""
    unread_seconds: float = 30.0
    """For a client to read of an answer as much as lets the next part be written."""
    unread_bytes: int = 64 * 1024 * 1024
    """Of all answers that no client has read yet; past it the connections with most of them are closed."""

    @classmethod
    def of(cls, settings: Settings) -> "Bounds":
        """By the settings, and by how many files this process may open; its limit is raised as far as it may be."""
        most = settings.connections_most
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = most + _OWN_FILES
        if soft != resource.RLIM_INFINITY and soft < wanted:
            soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            most = max(1, min(most, soft - _OWN_FILES))
        return cls(
            connections=most,
            head_bytes=settings.head_bytes,
            receive_seconds=settings.receive_seconds,
            drain_seconds=min(cls.drain_seconds, settings.receive_seconds),
            idle_seconds=settings.idle_seconds,
            body_bytes=settings.batch_bytes + 8 * 1024 * 1024,
        )
