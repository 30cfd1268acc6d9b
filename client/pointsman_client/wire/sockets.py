"""A connection of who blocks, and what the system says when there is none."""

import socket
import ssl

from pointsman_client.wire.clock import current

TOLD = {
    ConnectionRefusedError: "connection refused",
    ConnectionResetError: "the connection was reset",
    BrokenPipeError: "the connection was reset",
    TimeoutError: "no answer in time",
    socket.gaierror: "no such host",
    ssl.SSLCertVerificationError: "its certificate is not one that is trusted here",
}
"""How whoever made the call is told."""
NO_HTTP = "what answers there does not speak HTTP, or broke off"


class NoConnection(Exception):
    """There is none, for this reason."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def told(error: BaseException) -> str | None:
    """What an error says, or one that led to it, if it is one of the system's."""
    found: BaseException | None = error
    while found is not None:
        for kind, words in TOLD.items():
            if isinstance(found, kind):
                return words
        found = found.__cause__ or found.__context__
    return None


def connected(host: str, port: int, kind: type[socket.socket] = socket.socket) -> socket.socket:
    """A connection, before the clock of the call is over. Raises ``NoConnection``."""
    failed: OSError = TimeoutError()
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NoConnection(error) from error
    for number, (family, type_, protocol, _, address) in enumerate(found):
        # Whatever an address before it took, each of the others has its share of what is left.
        seconds = current.get().left / (len(found) - number)
        if seconds <= 0:
            break
        current.get().sock = sock = kind(family, type_, protocol)
        try:
            sock.settimeout(seconds)
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failed = error
        else:
            return sock
    raise NoConnection(failed) from failed
