"""What carries calls: the one module that knows httpx2, or httpx where that is all there is.

Every call ends within the seconds it is given, whatever the server does, with its connection, its writing and all of
its reading; only looking up a host takes a blocking caller what the system gives it. Redirections are not followed, and
proxies of the environment are not asked: the key goes to the host of the place and to no other.
"""

import select
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import anyio

try:
    import httpcore2 as httpcore
    import httpx2 as httpx
except ImportError:  # pragma: no cover - whoever has the older one may keep it
    import httpcore  # type: ignore[no-redef]
    import httpx  # type: ignore[no-redef]

from pointsman_client.answer import Answer
from pointsman_client.calling.call import Call
from pointsman_client.calling.refusing import refused
from pointsman_client.errors import DeadlineOver, NeverSent, Refused, Unreachable
from pointsman_client.place import Place
from pointsman_client.release import RELEASE

_MAX_BYTES = 64 * 1024 * 1024
"""Of one answer."""
_CHUNK = 64 * 1024
_CONNECTIONS = 100
_KEPT = 20
"""Connections that are kept open between calls."""
_STREAMED = (200, 204)
"""What a stream is answered with: 204, that there is nothing more of it."""
_TOLD = {
    ConnectionRefusedError: "connection refused",
    ConnectionResetError: "the connection was reset",
    BrokenPipeError: "the connection was reset",
    TimeoutError: "no answer in time",
    socket.gaierror: "no such host",
    ssl.SSLCertVerificationError: "its certificate is not one that is trusted here",
}


class Clock:
    """When what is under way ends, and on which socket it is."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds
        self.sock: socket.socket | None = None

    def give(self, seconds: float) -> None:
        """It ends so long from now."""
        self._at = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds, 0 when it is over."""
        return max(0.0, self._at - time.monotonic())

    def hang_up(self) -> None:
        """End what is under way in another thread: it raises ``Unreachable``."""
        self._at = 0.0
        if (sock := self.sock) is not None:
            with suppress(OSError, ValueError):
                sock.shutdown(socket.SHUT_RDWR)


_clock: ContextVar[Clock] = ContextVar("pointsman_client_clock")


class Wire:
    """Connections to one place, for any number of threads, each call in its own."""

    def __init__(self, place: Place, verify: ssl.SSLContext | None = None) -> None:
        self._place = place
        self._headers = _headers(place)
        # Its clock is the time limit: those of httpx begin anew with each byte.
        transport = _Deadlines(verify or _trusted(place))
        self._pool = httpx.Client(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113 - each call has its clock
        )

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def send(self, call: Call, seconds: float, hold: "Hold | None" = None) -> Answer:
        """Make the call once. Raises ``Refused``, ``NeverSent``, ``DeadlineOver``, ``Unreachable``, and ``LetGo`` when
        ``hold`` was let go.
        """
        clock = Clock(seconds)
        with _held(hold, clock), _under(clock), self._streamed(call) as response:
            read = bytearray()
            for chunk in response.iter_bytes(_CHUNK):
                read += chunk
                _bounded(read, response)
            return _answer(response, bytes(read))

    def open(self, call: Call, seconds: float) -> "Lines":
        """A stream that begins within ``seconds``, to be closed. Raises as ``send``."""
        request = self._pool.build_request(call.method, self._place.url + call.path, **_given(call, self._headers))
        clock = Clock(seconds)
        with _under(clock), _as_ours():
            response = self._pool.send(request, stream=True)
            if response.status_code not in _STREAMED:
                with closing(response):
                    raise _refusal(response, response.read())
        return Lines(response, clock)

    @contextmanager
    def _streamed(self, call: Call) -> Iterator[Any]:
        given = _given(call, self._headers)
        with _as_ours(), self._pool.stream(call.method, self._place.url + call.path, **given) as response:
            yield response


class AsyncWire:
    """Connections to one place, for one event loop."""

    def __init__(self, place: Place, verify: ssl.SSLContext | None = None) -> None:
        self._place = place
        self._headers = _headers(place)
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_KEPT)
        transport = httpx.AsyncHTTPTransport(verify=verify or _trusted(place), trust_env=False, limits=limits)
        self._pool = httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113 - each call has its clock
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def send(self, call: Call, seconds: float, hold: "AsyncHold | None" = None) -> Answer:
        """Make the call once. Raises ``Refused``, ``NeverSent``, ``DeadlineOver``, ``Unreachable``, and ``LetGo`` when
        ``hold`` was let go.
        """
        with _as_ours():
            with anyio.fail_after(seconds), _held_async(hold):
                async with self._streamed(call) as response:
                    read = bytearray()
                    async for chunk in response.aiter_bytes(_CHUNK):
                        read += chunk
                        _bounded(read, response)
                    answer = response, bytes(read)
            return _answer(*answer)

    async def open(self, call: Call, seconds: float) -> "AsyncLines":
        """A stream that begins within ``seconds``, to be closed. Raises as ``send``."""
        request = self._pool.build_request(call.method, self._place.url + call.path, **_given(call, self._headers))
        with _as_ours(), anyio.fail_after(seconds):
            response = await self._pool.send(request, stream=True)
            if response.status_code not in _STREAMED:
                async with aclosing(response):
                    raise _refusal(response, await response.aread())
        return AsyncLines(response)

    @asynccontextmanager
    async def _streamed(self, call: Call) -> AsyncIterator[Any]:
        given = _given(call, self._headers)
        async with self._pool.stream(call.method, self._place.url + call.path, **given) as response:
            yield response


class LetGo(Exception):
    """Somebody else wanted the call to end."""


class Hold:
    """Has another thread end a call."""

    def __init__(self) -> None:
        self.clock: Clock | None = None
        self.is_over = False

    def let_go(self) -> None:
        """End the call, now or when it begins."""
        self.is_over = True
        if self.clock is not None:
            self.clock.hang_up()


class AsyncHold:
    """Has another task end a call."""

    def __init__(self) -> None:
        self.scope: anyio.CancelScope | None = None
        self.is_over = False

    def let_go(self) -> None:
        """End the call, now or when it begins."""
        self.is_over = True
        if self.scope is not None:
            self.scope.cancel()


@contextmanager
def _held(hold: Hold | None, clock: Clock) -> Iterator[None]:
    if hold is None:
        yield
        return
    hold.clock = clock
    try:
        if hold.is_over:
            raise LetGo
        yield
    except Unreachable:
        if hold.is_over:
            raise LetGo from None
        raise
    finally:
        hold.clock = None


@contextmanager
def _held_async(hold: AsyncHold | None) -> Iterator[None]:
    if hold is None:
        yield
        return
    if hold.is_over:
        raise LetGo
    # Entered once: each attempt has its own.
    with anyio.CancelScope() as hold.scope:
        yield
    if hold.is_over:
        raise LetGo


class Lines:
    """The lines of a stream as they come, to one thread after the other."""

    def __init__(self, response: Any, clock: Clock) -> None:
        self._response, self._clock = response, clock
        self._lines = response.iter_lines()

    def next(self, seconds: float) -> str | None:
        """The next one; None: there are no more. Raises ``DeadlineOver``, after which nothing more can be read, when
        nothing comes within ``seconds``, and ``Unreachable``.
        """
        self._clock.give(seconds)
        # The clock is that of its thread only while something is read: whoever listens makes other calls between.
        with _under(self._clock), _as_ours():
            found: str | None = next(self._lines, None)
            return found

    def hang_up(self) -> None:
        """End it from another thread, while it waits for a line."""
        self._clock.hang_up()

    def close(self) -> None:
        """Leave the stream."""
        with suppress(Exception):
            self._response.close()


class AsyncLines:
    """The lines of a stream as they come, to one task after the other."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._lines = response.aiter_lines()

    async def next(self, seconds: float) -> str | None:
        """The next one; None: there are no more. Raises ``DeadlineOver``, after which nothing more can be read, when
        nothing comes within ``seconds``, and ``Unreachable``.
        """
        with _as_ours(), anyio.fail_after(seconds):
            found: str | None = await anext(self._lines, None)
            return found

    async def aclose(self) -> None:
        """Leave the stream."""
        with anyio.CancelScope(shield=True), suppress(Exception):
            await self._response.aclose()


class _Deadlines(httpx.BaseTransport):
    """Connections whose every step knows when the call that is under way ends."""

    def __init__(self, verify: ssl.SSLContext) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=verify,
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_KEPT,
            keepalive_expiry=30.0,
            network_backend=_Backend(),
        )

    def handle_request(self, request: Any) -> Any:
        url = request.url
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions={"timeout": {"pool": _clock.get().left}},
        )
        answered = self._pool.handle_request(asked)
        return httpx.Response(
            status_code=answered.status,
            headers=answered.headers,
            stream=_Body(answered),
            extensions=answered.extensions,
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answered: Any) -> None:
        self._answered = answered

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answered.iter_stream()

    def close(self) -> None:
        self._answered.close()


class _Backend(httpcore.NetworkBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> "_Socket":
        del timeout, local_address, socket_options
        failed: OSError = TimeoutError()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise _NoConnection(error) from error
        for number, (family, kind, protocol, _, address) in enumerate(found):
            # Whatever an address before it took, each of the others has its share of what is left.
            seconds = _clock.get().left / (len(found) - number)
            if seconds <= 0:
                break
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(seconds)
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                sock.close()
                failed = error
            else:
                return _Socket(sock)
        raise _NoConnection(failed) from failed

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class _Socket(httpcore.NetworkStream):
    """A connection. It obeys the clock of whoever uses it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        del timeout
        self._set()
        with _as_httpcore(httpcore.ReadError):
            return self._sock.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        del timeout
        view = memoryview(buffer)
        with _as_httpcore(httpcore.WriteError):
            while view:
                self._set()
                view = view[self._sock.send(view) :]

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "_Socket":
        del timeout
        try:
            self._set()
            return _Socket(ssl_context.wrap_socket(self._sock, server_hostname=server_hostname))
        except OSError as error:
            self.close()
            raise _NoConnection(error) from error

    def close(self) -> None:
        self._sock.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return _is_readable(self._sock)
        return {"socket": self._sock, "ssl_object": getattr(self._sock, "_sslobj", None)}.get(info)

    def _set(self) -> None:
        clock = _clock.get()
        clock.sock = self._sock
        left = clock.left
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)


class _NoConnection(Exception):
    """There is none, for this reason."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


@contextmanager
def _under(clock: Clock) -> Iterator[None]:
    token = _clock.set(clock)
    try:
        yield
    finally:
        _clock.reset(token)


@contextmanager
def _as_httpcore(kind: type[Exception]) -> Iterator[None]:
    """A broken connection as the pool knows it, so that it leaves it."""
    try:
        yield
    except TimeoutError:
        raise
    except OSError as error:
        raise kind(str(error)) from error


@contextmanager
def _as_ours() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise DeadlineOver(_TOLD[TimeoutError]) from None
    except _NoConnection as error:
        if isinstance(error.reason, TimeoutError):
            raise NeverSent("no connection in time") from None
        raise NeverSent(_told(error.reason)) from None
    except (httpx.TimeoutException, httpcore.TimeoutException):
        raise DeadlineOver(_TOLD[TimeoutError]) from None
    except (httpx.ConnectError, httpcore.ConnectError) as error:
        raise NeverSent(_told(error)) from None
    except (httpx.TransportError, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise Unreachable(_told(error)) from None
    except (httpx.InvalidURL, httpx.DecodingError, httpx.StreamError) as error:
        raise Unreachable(str(error)) from None


def _told(error: BaseException) -> str:
    found: BaseException | None = error
    while found is not None:
        for kind, words in _TOLD.items():
            if isinstance(found, kind):
                return words
        found = found.__cause__ or found.__context__
    if isinstance(error, httpx.ProtocolError | httpcore.ProtocolError):
        return "what answers there does not speak HTTP, or broke off"
    return getattr(error, "strerror", None) or str(error) or "the connection was lost"


def _is_readable(sock: socket.socket) -> bool:
    if sock.fileno() < 0:
        return True
    if not hasattr(select, "poll"):
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _headers(place: Place) -> dict[str, str]:
    own = {"User-Agent": f"pointsman-client/{RELEASE}"}
    return own if place.key is None else own | {"Authorization": f"Bearer {place.key}"}


def _trusted(place: Place) -> ssl.SSLContext:
    # Loading the certificates of a system takes longer than a call, and plain HTTP needs none.
    if place.url.startswith("http:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.create_ssl_context()


def _given(call: Call, headers: dict[str, str]) -> dict[str, Any]:
    own = {"Accept": call.accept} | ({} if call.body is None else {"Content-Type": "application/json"})
    encoded = {name: value.encode() for name, value in (headers | own | dict(call.headers)).items()}
    return {"content": call.body, "headers": encoded}


def _bounded(read: bytearray, response: Any) -> None:
    if len(read) > _MAX_BYTES:
        raise Refused("what answers there is no Pointsman: its answer is longer than any", status=response.status_code)


def _answer(response: Any, body: bytes) -> Answer:
    answer = Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)
    if not 200 <= answer.status < 300:
        raise refused(answer)
    return answer


def _refusal(response: Any, body: bytes) -> Exception:
    try:
        _answer(response, body)
    except Exception as error:
        return error
    return Unreachable("what was answered is no event stream")
