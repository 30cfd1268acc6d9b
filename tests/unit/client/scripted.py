"""An API that answers one thing after the other, over real HTTP, to a client of either half."""

import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio

from pointsman_client import AsyncClient, Client

HALVES = ("blocking", "waiting")


@dataclass
class Asked:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: Any


@dataclass
class Scripted:
    """What it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0

    def keys(self) -> list[str]:
        """The idempotency keys, in order."""
        return [asked.headers.get("idempotency-key", "") for asked in self.asked]


def answer(status: int, document: Any = None, **headers: str) -> bytes:
    """An answer as it goes over the wire."""
    body = json.dumps(document if document is not None else {}).encode()
    fields = {"Content-Length": str(len(body)), "X-Request-ID": "r-7"} | headers
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + body


def problem(code: str, status: int, **more: Any) -> bytes:
    """A problem document."""
    headers = {name: more.pop(name) for name in list(more) if name[0].isupper()}
    return answer(status, {"type": f"urn:pointsman:problem:{code}", "detail": f"It is {code}.", **more}, **headers)


RESET = b""
"""In place of an answer: the connection is reset after the request was read."""


@contextmanager
def scripted(*answers: bytes) -> Iterator[Scripted]:
    """One that gives these answers, and the last of them again and again."""
    listener = socket.create_server(("127.0.0.1", 0))
    api = Scripted(f"http://127.0.0.1:{listener.getsockname()[1]}")
    left, lock, threads = list(answers), threading.Lock(), []

    def converse(connection: socket.socket) -> None:
        with connection, suppress(OSError), connection.makefile("rb") as lines:
            while asked := _request(lines):
                with lock:
                    api.asked.append(asked)
                    said = left.pop(0) if len(left) > 1 else left[0]
                if said == RESET:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    return
                connection.sendall(said)
                if b"Content-Length" not in said:
                    return

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection = listener.accept()[0]
                api.connections += 1
                threads.append(threading.Thread(target=converse, args=(connection,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield api
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()


def _request(lines: Any) -> Asked | None:
    line = lines.readline().decode().strip()
    if not line:
        return None
    headers: dict[str, str] = {}
    while field_ := lines.readline().decode().strip():
        name, _, value = field_.partition(":")
        headers[name.lower()] = value.strip()
    body = lines.read(int(headers.get("content-length", 0)))
    return Asked(line, headers, json.loads(body) if body else None)


def by(half: str, url: str, act: Callable[[Any], Any], **options: Any) -> Any:
    """What ``act`` makes of a client of that half; what it returns is awaited where that half waits."""
    if half == "blocking":
        with Client(url, **options) as client:
            found = act(client)
            return list(found) if isinstance(found, Iterator) else found

    async def go() -> Any:
        async with AsyncClient(url, **options) as client:
            found = act(client)
            if isinstance(found, Awaitable):
                return await found
            return [each async for each in found]

    return anyio.run(go)
