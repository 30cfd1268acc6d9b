"""HTTP, and the one place that knows how: every other module names a path and gets JSON."""

import http.client
import io
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast
from urllib.parse import urlsplit

from pointsman_client.errors import Refused, Unreachable
from pointsman_client.place import Place
from pointsman_client.release import RELEASE

JsonObject = dict[str, Any]

_AGENT = f"pointsman-client/{RELEASE}"
_MAX_BYTES = 32 * 1024 * 1024
"""Of one answer."""
_CHUNK = 64 * 1024
_MAX_LINE = 1024 * 1024
"""Of an event stream."""
_TOLD = {
    ConnectionRefusedError: "connection refused",
    ConnectionResetError: "the connection was reset",
    TimeoutError: "no answer in time",
    socket.gaierror: "no such host",
}


class Transport:
    """One connection to an API, kept open between requests; for one thread.

    Every call ends within ``seconds``, whatever the server does; only looking up its host takes what the system gives
    it. Redirections are not followed, and proxies of the
    environment are not asked: the key goes to the host of the place and to no other.
    """

    def __init__(self, place: Place, seconds: float = 5.0) -> None:
        self.place = place
        self._seconds = seconds
        self._clock = _Clock()
        parts = urlsplit(place.url)
        self._base = parts.path
        self._connection = _connection(parts.scheme, parts.hostname or "", parts.port, self._clock)
        self._headers = {"User-Agent": _AGENT, "Accept": "application/json"}
        if place.key is not None:
            self._headers["Authorization"] = f"Bearer {place.key}"

    def __enter__(self) -> "Transport":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. The next call opens another."""
        self._connection.close()

    def hang_up(self) -> None:
        """End the call of another thread: it raises ``Unreachable``, or its events end."""
        if (sock := self._clock.sock) is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def get(self, path: str) -> JsonObject:
        """What is at ``path``, with its query. Raises ``Unreachable`` and ``Refused``."""
        return _object(*self._again("GET", path))

    def post(self, path: str, document: JsonObject, once: str | None = None) -> JsonObject:
        """The answer to an act, which is not tried again by itself; ``once`` is its ``Idempotency-Key``. Raises
        ``Unreachable`` (then it may have been done) and ``Refused``.
        """
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": once} if once else {})
        # A connection that was idle may be gone, and only a request would find out.
        self.close()
        return _object(*self._request("POST", path, json.dumps(document).encode(), headers))

    def events(self, path: str, silence_seconds: float) -> Iterator[str]:
        """The names of server-sent events as they come, one for each; a comment is an empty name. Ends when the server
        ends it. Raises ``Refused``, and ``Unreachable`` after ``silence_seconds`` without a word.
        """
        headers = self._headers | {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        try:
            self._clock.give(self._seconds)
            self._connection.request("GET", self._base + path, None, headers)
            answer = self._connection.getresponse()
            if answer.status != 200:
                raise _refused(answer, answer.read(_MAX_BYTES))
            if not (answer.getheader("Content-Type") or "").startswith("text/event-stream"):
                raise Refused("what was answered is no event stream", status=200)
            yield ""
            name = "message"
            while True:
                self._clock.give(silence_seconds)
                line = answer.readline(_MAX_LINE).rstrip(b"\r\n")
                if not line and answer.isclosed():
                    return
                if line.startswith(b"event:"):
                    name = line[6:].strip().decode(errors="replace")
                elif line.startswith(b":"):
                    yield ""
                elif line.startswith(b"data:"):
                    yield name
                elif not line:
                    name = "message"
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(_told(error)) from None
        finally:
            self.close()

    def _again(self, method: str, path: str) -> tuple[int, bytes]:
        """A request that changes nothing: once more where the kept connection turns out to be gone."""
        kept = self._connection.sock is not None
        try:
            return self._request(method, path, None, {})
        except _Gone:
            if not kept:
                raise
        return self._request(method, path, None, {})

    def _request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        sent = False
        try:
            self._clock.give(self._seconds)
            self._connection.request(method, self._base + path, body, self._headers | headers)
            sent = True
            answer = self._connection.getresponse()
            read = bytearray()
            while chunk := answer.read(_CHUNK):
                read += chunk
                if len(read) > _MAX_BYTES:
                    raise Unreachable("the answer is longer than any of ours")
            if answer.length:
                raise http.client.IncompleteRead(b"", answer.length)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            kind = _Gone if (sent and isinstance(error, _LOST)) or isinstance(error, BrokenPipeError) else Unreachable
            raise kind(_told(error)) from None
        except Unreachable:
            self.close()
            raise
        if answer.status >= 300:
            raise _refused(answer, bytes(read))
        return answer.status, bytes(read)


class _Gone(Unreachable):
    """The connection ended before it said anything."""


_LOST = (http.client.RemoteDisconnected, ConnectionResetError)


class _Clock:
    """What is under way: when it ends, and on which socket it is, which ``http.client`` forgets while it reads."""

    def __init__(self) -> None:
        self._at = 0.0
        self.sock: socket.socket | None = None

    def give(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Raises ``TimeoutError`` for nothing."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _UntilThen(io.RawIOBase):
    """What comes from a server, as long as the clock allows: one that drips may take no longer than a silent one."""

    def __init__(self, sock: socket.socket, clock: _Clock) -> None:
        self._socket, self._clock = sock, clock
        self._raw = cast(io.RawIOBase, sock.makefile("rb", buffering=0))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        # None, which a socket without a time limit may say, does not come: there always is one.
        self._socket.settimeout(self._clock.left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Reading:
    """What ``http.client`` takes for a socket to read from."""

    def __init__(self, sock: socket.socket, clock: _Clock) -> None:
        self._socket, self._clock = sock, clock

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(_UntilThen(self._socket, self._clock))


def _connection(scheme: str, host: str, port: int | None, clock: _Clock) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection

    def response(sock: socket.socket, *words: Any, **named: Any) -> http.client.HTTPResponse:
        return http.client.HTTPResponse(cast(socket.socket, _Reading(sock, clock)), *words, **named)

    class Connection(kind):  # type: ignore[misc, valid-type]  # one of the two
        response_class = staticmethod(response)

        def connect(self) -> None:
            self.timeout = clock.left()
            super().connect()
            clock.sock = self.sock

        def send(self, data: Any) -> None:
            if self.sock is not None:
                self.sock.settimeout(clock.left())
            super().send(data)

    return cast(http.client.HTTPConnection, Connection(host, port))


def _object(status: int, body: bytes) -> JsonObject:
    with suppress(ValueError):
        found = json.loads(body)
        if isinstance(found, dict):
            return found
    raise Refused("what answers there is no Pointsman: its answer is no JSON object", status=status)


def _refused(answer: http.client.HTTPResponse, body: bytes) -> Refused:
    """By the problem document (RFC 9457), where there is one."""
    problem: JsonObject = {}
    with suppress(ValueError):
        found = json.loads(body)
        problem = found if isinstance(found, dict) else {}
    text = str(problem.get("detail") or problem.get("title") or f"{answer.status} {answer.reason}")
    for fault in problem.get("errors") or ():
        if isinstance(fault, dict):
            text += f" {fault.get('pointer', '')}: {fault.get('detail', '')}"
    after = answer.getheader("Retry-After") or ""
    return Refused(
        text,
        status=answer.status,
        problem=str(problem.get("type") or "").rpartition("/")[2].rpartition(":")[2],
        retry_after_seconds=float(after) if after.isdecimal() else None,
    )


def _told(error: Exception) -> str:
    for kind, words in _TOLD.items():
        if isinstance(error, kind):
            return words
    if isinstance(error, http.client.HTTPException):
        return "what answers there does not speak HTTP, or broke off"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
