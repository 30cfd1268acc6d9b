"""Connections of callers that block, whose every step knows when its call ends."""

import select
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pointsman_client.wire.clock import current
from pointsman_client.wire.library import httpcore, httpx
from pointsman_client.wire.message import CONNECTIONS, KEPT
from pointsman_client.wire.sockets import NoConnection, connected


class Deadlines(httpx.BaseTransport):
    """Connections whose every step knows when the call that is under way ends."""

    def __init__(self, verify: ssl.SSLContext) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=verify,
            max_connections=CONNECTIONS,
            max_keepalive_connections=KEPT,
            keepalive_expiry=30.0,
            network_backend=_Backend(),
        )

    def handle_request(self, request: Any) -> Any:
        """Of httpx."""
        url = request.url
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions={"timeout": {"pool": current.get().left}},
        )
        answered = self._pool.handle_request(asked)
        return httpx.Response(
            status_code=answered.status,
            headers=answered.headers,
            stream=_Body(answered),
            extensions=answered.extensions,
        )

    def close(self) -> None:
        """Close them."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answered: Any) -> None:
        self._answered = answered

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answered.iter_stream()

    def close(self) -> None:
        self._answered.close()


class _Backend(httpcore.NetworkBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> "_Socket":
        del timeout, local_address, socket_options
        return _Socket(connected(host, port))

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class _Socket(httpcore.NetworkStream):
    """A connection. It obeys the clock of whoever uses it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        del timeout
        self._set()
        with _as_httpcore(httpcore.ReadError):
            return self._sock.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        del timeout
        view = memoryview(buffer)
        with _as_httpcore(httpcore.WriteError):
            while view:
                self._set()
                view = view[self._sock.send(view) :]

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "_Socket":
        del timeout
        try:
            self._set()
            return _Socket(ssl_context.wrap_socket(self._sock, server_hostname=server_hostname))
        except OSError as error:
            self.close()
            raise NoConnection(error) from error

    def close(self) -> None:
        self._sock.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return _is_readable(self._sock)
        return {"socket": self._sock, "ssl_object": getattr(self._sock, "_sslobj", None)}.get(info)

    def _set(self) -> None:
        clock = current.get()
        clock.sock = self._sock
        left = clock.left
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)


@contextmanager
def _as_httpcore(kind: type[Exception]) -> Iterator[None]:
    """A broken connection as the pool knows it, so that it leaves it."""
    try:
        yield
    except TimeoutError:
        raise
    except OSError as error:
        raise kind(str(error)) from error


def _is_readable(sock: socket.socket) -> bool:
    if sock.fileno() < 0:
        return True
    if not hasattr(select, "poll"):
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
