"""Services of other people, as tasks meet them: a real HTTP server that dies and heals, a mail server that refuses."""

import asyncio
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from service.embedded.ports import HOST


@dataclass
class Call:
    """One request that reached the server."""

    at: float
    """Monotonic seconds."""
    healthy: bool
    """What the server was at that moment."""


class FlappingServer:
    """An HTTP/1.1 server on a port of its own that answers 200, or 503 while it is not ``healthy``.

    An async context manager.
    """

    def __init__(self, answer_seconds: float = 0.0) -> None:
        self.healthy = True
        self.calls: list[Call] = []
        self.at_once = 0
        """Most calls under way at one moment since this was last set to 0."""
        self._under_way = 0
        self._answer_seconds = answer_seconds
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}/"

    def since(self, moment: float) -> int:
        """Calls that reached it at a monotonic moment or later."""
        return sum(call.at >= moment for call in self.calls)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, HOST, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller hung up
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        healthy = self.healthy
        self.calls.append(Call(time.monotonic(), healthy))
        self._under_way += 1
        self.at_once = max(self.at_once, self._under_way)
        try:
            if self._answer_seconds:
                await asyncio.sleep(self._answer_seconds)
        finally:
            self._under_way -= 1
        status = b"200 OK" if healthy else b"503 Service Unavailable"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()


@dataclass
class RefusingMailServer:
    """An SMTP server that greets everybody and takes no message. An async context manager."""

    refused: list[float] = field(default_factory=list)
    """Monotonic moments at which a message was refused."""
    _server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, HOST, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"220 refusing.example ESMTP\r\n")
            while line := await reader.readline():
                word = line.split()[:1]
                if word == [b"QUIT"]:
                    writer.write(b"221 bye\r\n")
                    await writer.drain()
                    break
                if word and word[0].upper() in (b"EHLO", b"HELO"):
                    writer.write(b"250 refusing.example\r\n")
                else:
                    self.refused.append(time.monotonic())
                    writer.write(b"451 4.3.0 mail server temporarily rejected message\r\n")
                await writer.drain()
        except ConnectionError:
            pass  # the caller hung up
        finally:
            writer.close()
