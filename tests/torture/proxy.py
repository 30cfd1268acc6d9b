"""A TCP proxy that can be slow, silent, deaf or rude."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from service.embedded.ports import HOST

_CHUNK = 65536
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Passes bytes on both ways, as it is told to."""

    def __init__(self, connect: Callable[[], Awaitable[_Streams]]) -> None:
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._answers = asyncio.Event()
        self._answers.set()
        self._requests = asyncio.Event()
        self._requests.set()
        self.latency_seconds = 0.0
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def to_port(cls, port: int) -> AsyncIterator[Self]:
        """In front of a port of this machine."""
        async with cls(lambda: asyncio.open_connection(HOST, port))._listening() as proxy:
            yield proxy

    @classmethod
    @asynccontextmanager
    async def to_socket(cls, path: Path) -> AsyncIterator[Self]:
        """In front of a Unix socket."""
        async with cls(lambda: asyncio.open_unix_connection(path))._listening() as proxy:
            yield proxy

    @property
    def connections(self) -> int:
        """How many lines it holds now."""
        return len(self._lines)

    def freeze(self) -> None:
        """A half-open line: bytes are taken, nothing comes out, on old connections and on new ones."""
        self._answers.clear()
        self._requests.clear()

    def swallow_answers(self) -> None:
        """Requests arrive and are done; nobody hears of it."""
        self._answers.clear()

    def go_on(self) -> None:
        """As if nothing had been."""
        self.latency_seconds = 0.0
        self._answers.set()
        self._requests.set()

    def reset(self, drawn: random.Random, share: float = 1.0) -> int:
        """Break a share of the connections by RST; how many."""
        broken = [writer for writer in list(self._writers) if drawn.random() < share]
        for writer in broken:
            writer.transport.abort()
        return len(broken)

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[Self]:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        try:
            yield self
        finally:
            self._server.close()
            self.go_on()
            while self._lines:
                self.reset(random.Random(0))
                await asyncio.wait(list(self._lines))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)
        self._writers.add(writer)
        try:
            there_reader, there_writer = await self._connect()
        except OSError:
            self._writers.discard(writer)
            writer.transport.abort()
            return
        ways = [
            asyncio.create_task(self._pass_on(reader, there_writer, self._requests)),
            asyncio.create_task(self._pass_on(there_reader, writer, self._answers)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, there_writer):
                end.close()
            self._writers.discard(writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self.latency_seconds:
                    await asyncio.sleep(self.latency_seconds)
                await may.wait()
                writer.write(data)
                await writer.drain()
