"""``python -m tests.benchmark.socket_load URL BODY_FILE CONNECTIONS SECONDS``: load for machines without ``wrk``.

Bare sockets, keep-alive, no pipelining; what is under way at the end is waited for. Prints one line of JSON.
"""

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, until: float) -> None:
        self._request = request
        self._until = until
        self._transport: asyncio.Transport
        self._received = b""
        self._sent_at = 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.seconds: list[float] = []
        self.refused = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is one in all but its class.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

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
        if not self._received.startswith(b"HTTP/1.1 2"):
            self.refused += 1
        self._received = b""
        now = time.perf_counter()
        self.seconds.append(now - self._sent_at)
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)


async def _load(url: str, body: bytes, connections: int, seconds: float) -> dict[str, float]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    request = head.encode() + body
    since = time.perf_counter()
    made = []
    for _ in range(connections):
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(request, since + seconds), parts.hostname, parts.port
        )
        made.append(connection)
    await asyncio.gather(*(connection.closed for connection in made))
    took = time.perf_counter() - since
    waits = sorted(wait for connection in made for wait in connection.seconds)
    cuts = statistics.quantiles(waits, n=100) if len(waits) > 1 else [0.0] * 99
    return {
        "answered": len(waits),
        "refused": sum(connection.refused for connection in made),
        "failed": sum(not connection.seconds for connection in made),
        "seconds": took,
        "p50_ms": 1000 * cuts[49],
        "p99_ms": 1000 * cuts[98],
    }


if __name__ == "__main__":
    url, path, connections, seconds = sys.argv[1:]
    print(json.dumps(uvloop.run(_load(url, Path(path).read_bytes(), int(connections), float(seconds)))))
