"""TCP ports on 127.0.0.1."""

import errno
import random
import socket
from contextlib import suppress
from pathlib import Path

from pointsman_service.embedded.errors import PortUnusable

HOST = "127.0.0.1"

_QUIET_RANGE = range(20000, 32000)
"""Below the ports that Linux and macOS give to outgoing connections.

A client that reconnects to a dead server on such a port can connect to itself and keep the server from coming back."""


def free_port() -> int:
    """A port nobody listens on, and that no outgoing connection will be given."""
    for port in random.sample(_QUIET_RANGE, 200):
        if _refusal(port) is None:
            return port
    raise PortUnusable(0, "cannot be given: no free one was found")


def kept_port(file: Path) -> int:
    """The port that ``file`` names, when it is free, else a free one, which it names from then on.

    So a server that starts again is found by clients that outlived it.
    """
    with suppress(OSError, ValueError):
        port = int(file.read_text(encoding="ascii"))
        if port in _QUIET_RANGE and _refusal(port) is None:
            return port
    port = free_port()
    file.write_text(f"{port}\n", encoding="ascii")
    return port


def require_free(port: int) -> None:
    """Raises PortUnusable when the port cannot be listened on."""
    reason = _refusal(port)
    if reason is not None:
        raise PortUnusable(port, reason)


def _refusal(port: int) -> str | None:
    with socket.socket() as probe:
        # As the servers do: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            return "is not allowed for this user"
        except OSError as error:
            return "is taken by another process" if error.errno == errno.EADDRINUSE else f"cannot be used: {error}"
    # On macOS a bind succeeds beside a listener on 0.0.0.0.
    with socket.socket() as probe:
        probe.settimeout(1)
        return "is taken by another process" if probe.connect_ex((HOST, port)) == 0 else None
