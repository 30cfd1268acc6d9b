"""What goes wrong on the way, as whoever made the call is told."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from pointsman_client.errors import DeadlineOver, NeverSent, Unreachable
from pointsman_client.wire.library import httpcore, httpx

_TOLD = {
    ConnectionRefusedError: "connection refused",
    ConnectionResetError: "the connection was reset",
    BrokenPipeError: "the connection was reset",
    TimeoutError: "no answer in time",
    socket.gaierror: "no such host",
    ssl.SSLCertVerificationError: "its certificate is not one that is trusted here",
}


class NoConnection(Exception):
    """There is none, for this reason."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


@contextmanager
def as_ours() -> Iterator[None]:
    """Raises ``DeadlineOver``, ``NeverSent`` and ``Unreachable`` for what the libraries and the system raise."""
    try:
        yield
    except TimeoutError:
        raise DeadlineOver(_TOLD[TimeoutError]) from None
    except NoConnection as error:
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
