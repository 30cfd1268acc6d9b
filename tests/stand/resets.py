"""A proxy that resets connections: before a request has arrived, or when it was answered and nobody has heard of it."""

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pointsman_service.embedded.ports import HOST

_CHUNK = 65536
_ROUNDS = 5


class Resets:
    """``share`` of the requests meet a reset. ``open`` connections there are, ``most`` there were at once."""

    def __init__(self, port: int, share: float, seed: int) -> None:
        self._port, self._share, self._drawn = port, share, random.Random(seed)
        self.port = self.open = self.most = self.resets = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends, ways = [writer], list[asyncio.Task[bool]]()
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            there_reader, there_writer = await asyncio.open_connection(HOST, self._port)
            ends.append(there_writer)
            cut = asyncio.Event()
            ways += [
                asyncio.create_task(self._up(reader, there_writer, cut)),
                asyncio.create_task(self._down(there_reader, writer, cut)),
            ]
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if any(way.result() for way in done):
                self.resets += 1
                writer.transport.abort()
        finally:
            # This may be cancelled at any wait, also at the one here.
            self.open -= 1
            for way in ways:
                way.cancel()
            for end in ends:
                end.close()
            try:
                await asyncio.gather(*ways, *(end.wait_closed() for end in ends), return_exceptions=True)
            finally:
                for end in ends:
                    end.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event) -> bool:
        """Whether the connection is to be reset now."""
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self._drawn.random() < self._share:
                    if self._drawn.random() < 0.5:
                        return True
                    cut.set()
                writer.write(data)
                await writer.drain()
        return False

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event) -> bool:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if cut.is_set():
                    return True
                writer.write(data)
                await writer.drain()
        return False


@contextmanager
def resetting(port: int, share: float = 0.0, seed: int = 1, at: int = 0) -> Iterator[Resets]:
    """One in front of a port of this machine, on a thread of its own, and at the port that is asked for."""
    proxy = Resets(port, share, seed)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> asyncio.Server:
        return await asyncio.start_server(proxy._serve, HOST, at)

    async def end(server: asyncio.Server) -> None:
        # asyncio leaves a connection open that was accepted and is not served yet: that takes three rounds of the loop
        # from here. Where its server is closed before, it even stumbles over that one.
        loop.remove_reader(server.sockets[0].fileno())
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # What was aborted is closed in the next one.
        await asyncio.sleep(0)

    server = asyncio.run_coroutine_threadsafe(begin(), loop).result()
    proxy.port = int(server.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
