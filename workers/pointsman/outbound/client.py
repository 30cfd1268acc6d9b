"""An HTTP client that calls public addresses only, follows no redirect and ends in time."""

import logging
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import TracebackType

import httpcore  # httpx is built on it and pins it
import httpx

from pointsman.outbound.connection import GuardedBackend
from pointsman.outbound.deadline import Deadline
from pointsman_contract import RELEASE

# httpx logs every URL at INFO, and a query may hold a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)


def guarded_client(
    *, connect_seconds: float, read_seconds: float, total_seconds: float, allowed: Sequence[str]
) -> httpx.Client:
    """A client for one call, to be closed. Its time runs from now.

    A read raises ``httpx.TimeoutException`` after ``read_seconds`` without a byte, and after ``total_seconds`` in any
    case. Proxies of the environment are not used; ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` are. Answers are asked for
    uncompressed.
    """
    return httpx.Client(
        transport=_GuardedTransport(Deadline(total_seconds), allowed),
        timeout=httpx.Timeout(read_seconds, connect=connect_seconds),
        headers={"accept-encoding": "identity", "connection": "close", "user-agent": f"pointsman/{RELEASE}"},
        follow_redirects=False,
        trust_env=False,
    )


class _GuardedTransport(httpx.BaseTransport):
    """httpx over connections of ours, which its own transport has no room for."""

    def __init__(self, deadline: Deadline, allowed: Sequence[str]) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=_ssl_context(),
            max_connections=1,
            network_backend=GuardedBackend(deadline, allowed),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it; the answer's body is read by the caller."""
        assert isinstance(request.stream, httpx.SyncByteStream)
        with _errors_of_httpx():
            answer = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._pool.__exit__(kind, error, trace)

    def close(self) -> None:
        """Close its connection."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        with _errors_of_httpx():
            yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """Raise the errors of httpcore as those of httpx, which have the same names."""
    try:
        yield
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ProxyError,
        httpcore.UnsupportedProtocol,
    ) as error:
        raise getattr(httpx, type(error).__name__, httpx.TransportError)(str(error)) from error


@cache
def _ssl_context() -> ssl.SSLContext:
    return httpx.create_ssl_context()
