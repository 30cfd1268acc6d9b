"""An API that answers what it is told, over real HTTP; and servers that are no good."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pointsman_client.place import Place


@dataclass
class Served:
    """What it answers, and what it was asked."""

    place: Place
    answers: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    """By method and path, without the query where there is none for it."""
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)

    def answer(self, path: str, document: dict[str, Any], status: int = 200, method: str = "GET") -> None:
        """From now on."""
        self.answers[f"{method} {path}"] = (status, document)

    def posted(self) -> list[tuple[str, Any]]:
        """What was asked to be done."""
        return [(path, body) for method, path, _, body in self.asked if method == "POST"]


@contextmanager
def served(key: str | None = None) -> Iterator[Served]:
    """One of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def _answer(self, method: str) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
            api.asked.append((method, self.path, dict(self.headers), body))
            found = api.answers.get(f"{method} {self.path}") or api.answers.get(
                f"{method} {self.path.partition('?')[0]}"
            )
            status, document = found or (
                404,
                {"type": "urn:pointsman:problem:not-found", "detail": "There is no such."},
            )
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api = Served(Place(f"http://127.0.0.1:{server.server_port}", key))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def talking(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[Place]:
    """A server that says what ``talk`` says to whoever connects, until it is over."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            talk(connection, over)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threads.append(threading.Thread(target=one, args=(listener.accept()[0],)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield Place(f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (accepting, *threads):
            thread.join()
