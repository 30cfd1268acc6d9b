"""The bank of the demo: an HTTP service that takes charges, and for a while serves nobody."""

import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self

_HOST = "127.0.0.1"
_LONGEST_BODY = 10_000


class Bank:
    """Listens while its context is open. While ``fails`` it answers 503 to every charge.

    Raises ``OSError`` where its port is taken; 0 is any free one.
    """

    def __init__(self, port: int = 0) -> None:
        self.fails = False
        self._taken = 0
        self._server = ThreadingHTTPServer((_HOST, port), _handler(self))
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="bank", daemon=True)
        self.url = f"http://{_HOST}:{self._server.server_port}"

    def answer(self) -> tuple[HTTPStatus, dict[str, str]]:
        """To one charge."""
        if self.fails:
            return HTTPStatus.SERVICE_UNAVAILABLE, {"detail": "no database connection is left"}
        self._taken += 1
        return HTTPStatus.CREATED, {"receipt": f"B-{self._taken:06}"}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(bank: Bank) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_POST(self) -> None:
            """Take a charge, or not."""
            self.rfile.read(min(int(self.headers.get("content-length") or 0), _LONGEST_BODY))
            status, said = bank.answer()
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the tasks tell."""

    return Handler
