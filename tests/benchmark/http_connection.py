"""One HTTP connection of a load generator: bare socket, keep-alive, no pipelining, one request again and again."""

import asyncio
from collections.abc import Callable
from typing import Self, cast
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Connection(asyncio.Protocol):
    """``on_answer(self, accepted)`` is called for every whole answer, and may ask again at once."""

    def __init__(self, request: bytes, on_answer: "Callable[[Connection, bool], None]") -> None:
        self._request = request
        self._on_answer = on_answer
        self._transport: asyncio.Transport
        self._received = b""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def opened(cls, url: str, request: bytes, on_answer: "Callable[[Connection, bool], None]") -> Self:
        """A connection to the host of ``url``."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: cls(request, on_answer), parts.hostname, parts.port
        )
        return connection

    def ask(self) -> None:
        """Send the request. The answer before must have come."""
        self._transport.write(self._request)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is one in all but its class.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        end = self._received.find(_HEAD_END)
        if end < 0:
            return
        head = self._received[:end].lower()
        at = head.index(_LENGTH) + len(_LENGTH)
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(self._received) < end + len(_HEAD_END) + length:
            return
        accepted = self._received.startswith(b"HTTP/1.1 2")
        self._received = b""
        self._on_answer(self, accepted)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


def post(url: str, body: bytes, token: str | None = None) -> bytes:
    """A request that posts JSON, with a key where one is given."""
    parts = urlsplit(url)
    key = "" if token is None else f"Authorization: Bearer {token}\r\n"
    head = (
        f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"{key}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
