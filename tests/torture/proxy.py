"""A TCP proxy that can be slow, silent, deaf or rude, on a thread of its own, so that it is slow only when told to."""

import asyncio
import contextlib
import random
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pointsman_service.embedded.ports import HOST

_CHUNK = 65536
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Passes bytes on both ways, as it is told to."""

    def __init__(self, connect: Callable[[], Awaitable[_Streams]]) -> None:
        self._connect = connect
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._lines: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._answers = asyncio.Event()
        self._answers.set()
        self._requests = asyncio.Event()
        self._requests.set()
        self.latency_seconds = 0.0
        self.port = 0

    @classmethod
    def to_port(cls, port: int) -> contextlib.AbstractContextManager[Self]:
        """In front of a port of this machine."""
        return cls(lambda: asyncio.open_connection(HOST, port))._listening()

    @classmethod
    def to_socket(cls, path: Path) -> contextlib.AbstractContextManager[Self]:
        """In front of a Unix socket."""
        return cls(lambda: asyncio.open_unix_connection(path))._listening()

    def freeze(self) -> None:
        """A half-open line: bytes are taken, nothing comes out, on old connections and on new ones."""
        self._loop.call_soon_threadsafe(self._answers.clear)
        self._loop.call_soon_threadsafe(self._requests.clear)

    def swallow_answers(self) -> None:
        """Requests arrive and are done; nobody hears of it."""
        self._loop.call_soon_threadsafe(self._answers.clear)

    def go_on(self) -> None:
        """As if nothing had been."""
        self.latency_seconds = 0.0
        self._loop.call_soon_threadsafe(self._answers.set)
        self._loop.call_soon_threadsafe(self._requests.set)

    def reset(self, drawn: random.Random, share: float = 1.0) -> int:
        """Break a share of the connections by RST; how many."""
        return asyncio.run_coroutine_threadsafe(self._reset(drawn, share), self._loop).result()

    async def _reset(self, drawn: random.Random, share: float) -> int:
        broken = [writer for writer in list(self._writers) if drawn.random() < share]
        for writer in broken:
            writer.transport.abort()
        return len(broken)

    @contextmanager
    def _listening(self) -> Iterator[Self]:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, HOST, 0), self._loop).result()
        self.port = int(server.sockets[0].getsockname()[1])
        try:
            yield self
        finally:
            self.go_on()
            asyncio.run_coroutine_threadsafe(self._end(server), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        while self._lines:
            await self._reset(random.Random(0), 1.0)
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
