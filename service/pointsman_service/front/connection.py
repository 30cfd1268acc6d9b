"""One connection of a caller, bounded in what it may send, how long it may take, and what it may leave unread."""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from pointsman_service.api.answers.answer import AT_ONCE, guards_of
from pointsman_service.api.problems.answering import refusal
from pointsman_service.errors import BadRequest, HeadTooLarge, PathTooLong, PointsmanError, TooSlow
from pointsman_service.front.bounds import Bounds
from pointsman_service.front.request_ids import request_id_in

_SLICE_BYTES = 1024
_BODY_SLICE_BYTES = 64 * 1024
_LINGER_BYTES = 1024 * 1024
"""Read and forgotten after a refusal: a connection closed with something unread takes the refusal with it."""


class _Flow(FlowControl):
    """Lets nobody read on while requests wait for their turn."""

    held = False

    def __init__(self, transport: Any, clock: Callable[[], float]) -> None:
        super().__init__(transport)
        self._clock = clock
        self.resumed_at = 0.0
        """Before then the client could send, and was not heard."""

    def hold(self) -> None:
        self.held = True
        self.pause_reading()

    def resume_reading(self) -> None:
        if self.read_paused and not self.held:
            self.resumed_at = self._clock()
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """uvicorn's connection with bounds.

    What is over a bound before its request is answered gets a problem document; then the connection is closed, and
    counted in ``closed`` of the server state by its reason.
    """

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._bounds: Bounds = config.bounds
        self._closed: Counter[str] = server_state.closed
        self._refusal: PointsmanError | None = None
        self._unfed = b""
        """Came behind a request that waits for its turn; parsed when that has begun."""
        self._in_message = False
        """From the first byte of a request to the last of its body."""
        self._head_done = False
        self._since_progress = 0
        """Bytes received since the last part of a body, or since the last request ended."""
        self._of_body = 0
        self._message_at = self._last_at = self._idle_at = self.loop.time()
        self._refused_at: float | None = None
        self._past_refusal = 0
        self._unread = 0
        self._unread_at = 0.0

    # The transport's calls

    def connection_made(self, transport: Any) -> None:
        """Also makes room for it."""
        super().connection_made(transport)
        self.flow = self._flow = _Flow(transport, self.loop.time)
        if len(self.connections) > self._bounds.connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """In slices, so that of many requests at once only a few are taken up before their turn."""
        self._last_at = self.loop.time()
        if self._refused_at is not None:
            self._past_refusal += len(data)
            if self._past_refusal > _LINGER_BYTES:
                self._flow.hold()
            return
        if not self._unfed and len(data) <= _SLICE_BYTES:
            self._feed(data)
            return
        self._unfed += data
        self._feed_on()

    def _feed_on(self) -> None:
        """Parse what has come, until a request waits for its turn."""
        data, at = self._unfed, 0
        while at < len(data) and not self.pipeline and not self._is_over():
            end = at + (_BODY_SLICE_BYTES if self._head_done else _SLICE_BYTES)
            self._feed(data[at:end])
            at = end
        self._unfed = b"" if self._is_over() else data[at:]
        if self._unfed or self.pipeline:
            self._flow.hold()

    def _feed(self, data: bytes) -> None:
        self._since_progress += len(data)
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            self._refuse(self._refusal or BadRequest("This is not HTTP/1.1."))
        except HttpParserUpgrade:
            # Nothing here speaks another protocol: it is answered as if it had not been asked for one.
            self.cycle.keep_alive = False
        else:
            if self._since_progress > self._bounds.head_bytes and not self._is_over():
                self._refuse(HeadTooLarge())

    # The parser's calls

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_message = True
        self._message_at = self._last_at
        self._of_body = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole. One over a bound is refused, else its request begins, or waits for its turn."""
        bounds = self._bounds
        if len(self.url) > bounds.path_bytes:
            self._refusal = PathTooLong()
        elif len(self.headers) > bounds.fields or (
            self._since_progress > bounds.head_bytes and self._head_bytes() > bounds.head_bytes
        ):
            self._refusal = HeadTooLarge()
        if self._refusal is not None:
            # The parser stops at an exception; then it is answered.
            raise ValueError(self._refusal.detail)
        # Raises for a target that is none; to the parser that is an error like any other.
        super().on_headers_complete()
        self._head_done = True
        scope: Any = self.scope
        scope[AT_ONCE] = partial(_write, self.cycle)
        # Fields that follow a body come here: nobody reads them.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """A part of a body, wanted or not."""
        self._since_progress = 0
        self._of_body += len(body)
        if self._of_body > self._bounds.body_bytes:
            self._drop("body too long")
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._since_progress = 0
        self._in_message = self._head_done = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Begins the next request that waits. An idle connection has no timer of its own: it is looked after."""
        self.server_state.total_requests += 1
        self._idle_at = self.loop.time()
        if self.transport.is_closing():
            return
        self._flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        if self._flow.held and not self.pipeline:
            self.loop.call_soon(self._feed_further)

    def _feed_further(self) -> None:
        if self._is_over() or self.pipeline:
            return
        self._flow.held = False
        self._feed_on()
        self._flow.resume_reading()

    # Ends

    def shutdown(self) -> None:
        """The server stops: what is refused already is not waited for."""
        if self._refused_at is not None:
            self.transport.abort()
        else:
            super().shutdown()

    def forgive(self, seconds: float, now: float) -> None:
        """Take no account of so many seconds before ``now``: nobody listened."""

        def later(at: float) -> float:
            return min(now, at + seconds)

        self._message_at, self._last_at = later(self._message_at), later(self._last_at)
        self._idle_at, self._unread_at = later(self._idle_at), later(self._unread_at)
        self._flow.resumed_at = later(self._flow.resumed_at)
        if self._refused_at is not None:
            self._refused_at = later(self._refused_at)

    def look_after(self, now: float) -> None:
        """Close it when it takes too long. Called about twice a second."""
        bounds, answered = self._bounds, self._is_answered()
        unread = self.transport.get_write_buffer_size()
        if not unread or unread < self._unread or not self._unread:
            self._unread_at = now
        self._unread = unread
        if now - self._unread_at > bounds.unread_seconds:
            self._drop("answers not read")
        elif self._refused_at is not None:
            if now - self._refused_at > bounds.drain_seconds:
                self.transport.abort()
        elif self.transport.is_closing():
            return
        elif not self._in_message:
            if answered and not unread and now - self._idle_at > self._patience():
                self.transport.close()
        elif not self._head_done:
            if not self.flow.read_paused and now - self._since(self._message_at) > bounds.receive_seconds:
                self._refuse(TooSlow())
        elif answered:
            if now - self._idle_at > bounds.drain_seconds:
                self._drop("body not ended")
        elif not self.flow.read_paused and self._is_slow(now):
            self._refuse(TooSlow())

    def _patience(self) -> float:
        """How long it may be idle: one that has asked nothing yet, not as long as one that comes back."""
        cycle: RequestResponseCycle | None = self.cycle
        return self._bounds.receive_seconds if cycle is None else self._bounds.idle_seconds

    def _is_slow(self, now: float) -> bool:
        allowed = self._bounds.receive_seconds + self._of_body / self._bounds.body_rate
        return now - self._since(self._last_at) > self._bounds.receive_seconds or now - self._message_at > allowed

    def _since(self, at: float) -> float:
        """Since when the client takes its time: what waited behind other requests was sent long ago."""
        return max(at, self._flow.resumed_at)

    @property
    def unread(self) -> int:
        """Bytes of answers that the client had not read when it was looked after."""
        return self._unread

    @property
    def waits_since(self) -> float | None:
        """Since when this end waits for its client; None while the client waits for an answer."""
        if self._in_message or self._refused_at is not None:
            return self._message_at
        return self._idle_at if self._is_answered() else None

    def _is_answered(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def give_way(self) -> None:
        """Close it for others."""
        self._drop("too many connections")

    def leave_unread(self) -> None:
        """Close it: its client reads nothing, and much waits for it."""
        self._drop("answers not read")

    def _make_room(self) -> None:
        others = [one for one in self.connections if isinstance(one, Connection)]
        waiting = [(since, id(one), one) for one in others if (since := one.waits_since) is not None]
        min(waiting, default=(0.0, 0, self))[2].give_way()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _drop(self, reason: str) -> None:
        self._closed[reason] += 1
        self.transport.abort()

    def _refuse(self, error: PointsmanError) -> None:
        """Say why, unless an answer is under way, and close once the other end has, or some seconds later."""
        if self._is_over():
            return
        self._closed[error.code] += 1
        path, called = None, request_id_in(self.headers or ())
        if self._is_answered():
            if self._head_done:
                self.transport.abort()
                return
        else:
            cycle = self.cycle
            scope: Any = cycle.scope
            path = scope["path"]
            # Where its turn has not come, nobody has named it yet.
            called = scope.get("request_id") or request_id_in(scope["headers"])
            if cycle.response_started or self.pipeline or not self._head_done:
                # Whatever is written now would be taken for a part of the answer under way.
                self.transport.abort()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(_whole(error, path, called))
        self._refused_at = self.loop.time()
        self._flow.held = False
        self._flow.resume_reading()
        self.transport.write_eof()

    def _is_over(self) -> bool:
        return self._refused_at is not None or self.transport.is_closing()


def _write(
    cycle: RequestResponseCycle,
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
    lines: bytes = b"",
) -> bool:
    """An ``AtOnce``: what ``cycle.send`` does in two steps, without looking for line breaks in each field.

    Nothing for a client that is gone, as there. Where answers are not read, or written down, it is left to that.
    """
    if cycle.flow.write_paused or cycle.access_log or cycle.response_started:
        return False
    if cycle.disconnected:
        return True
    cycle.response_started = True
    cycle.waiting_for_100_continue = False
    head = [STATUS_LINE[status], lines]
    for name, value in cycle.default_headers:
        head += (name, b": ", value, b"\r\n")
    for name, value in headers:
        head += (name, b": ", value, b"\r\n")
    end = b"content-length: %d\r\n\r\n" if cycle.keep_alive else b"connection: close\r\ncontent-length: %d\r\n\r\n"
    head += (end % len(body), body)
    cycle.transport.write(b"".join(head))
    cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


def _whole(error: PointsmanError, path: str | None, called: bytes) -> bytes:
    """What is sent: the same answer as to any request that fails. ``path`` is None where none has begun."""
    answer = refusal(error, path)
    length = b"%d" % len(answer.body)
    own = [(b"content-length", length), (b"x-request-id", called), (b"connection", b"close")]
    head = b"".join(b"%b: %b\r\n" % field for field in (*answer.headers, *own, *guards_of(answer.headers)))
    return STATUS_LINE[answer.status] + head + b"\r\n" + answer.body
