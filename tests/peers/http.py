"""A real HTTP server that records what it is asked and answers what the test says."""

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Recorded:
    """One request. Header names are in lower case."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """One answer. ``drip`` sends the body a byte at a time until the peer is closed or the client gone."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: bool = False
    length: int | None = None
    """A Content-Length that is not so."""

    @classmethod
    def of(cls, content: Any, status: int = 200, **headers: str) -> Self:
        """JSON."""
        return cls(status, json.dumps(content).encode(), {"Content-Type": "application/json", **headers})


Answering = Callable[[Recorded], Reply]


class HTTPPeer:
    """Listens on 127.0.0.1 while its context is open. Unknown paths are answered 404."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Recorded] = []
        self.names: list[str | None] = []
        """The server names that TLS clients asked for."""
        self.closed = Event()
        self._routes: dict[str, Answering] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: self.names.append(name)
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,))

    def on(self, path: str, *replies: Reply | Answering) -> None:
        """Answer requests of this path with the replies in turn, then always with the last one."""
        left = list(replies)

        def answering(request: Recorded) -> Reply:
            reply = left.pop(0) if len(left) > 1 else left[0]
            return reply if isinstance(reply, Reply) else reply(request)

        self._routes[path] = answering

    def route(self, path: str) -> Answering:
        """What answers a path now."""
        return self._routes[path]

    def answer(self, request: Recorded) -> Reply:
        """Record a request and choose its answer."""
        self.requests.append(request)
        answering = self._routes.get(request.path)
        return Reply(404, b"no such path") if answering is None else answering(request)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(peer: HTTPPeer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body are two packets; the second would wait 40 ms for the client's delayed acknowledgement.
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            reply = peer.answer(
                Recorded(
                    method=self.command,
                    path=parts.path,
                    query=parse_qs(parts.query),
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=self.rfile.read(int(self.headers.get("content-length") or 0)),
                )
            )
            self.send_response(reply.status)
            if "Transfer-Encoding" not in reply.headers:
                self.send_header("Content-Length", str(len(reply.body) if reply.length is None else reply.length))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self._send(reply)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815 - http.server's

        def _send(self, reply: Reply) -> None:
            if not reply.drip:
                self.wfile.write(reply.body)
                return
            try:
                while not peer.closed.wait(0.05):
                    self.wfile.write(b".")
            except OSError:
                self.close_connection = True

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                # A client that hung up, or did not like the certificate.
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
