"""What goes wrong on the way, as whoever made the call is told."""

from collections.abc import Iterator
from contextlib import contextmanager

from pointsman_client.errors import DeadlineOver, NeverSent, Unreachable
from pointsman_client.wire.library import httpcore, httpx
from pointsman_client.wire.sockets import NO_HTTP, TOLD, NoConnection, told


@contextmanager
def as_ours() -> Iterator[None]:
    """Raises ``DeadlineOver``, ``NeverSent`` and ``Unreachable`` for what the libraries and the system raise."""
    try:
        yield
    except TimeoutError:
        raise DeadlineOver(TOLD[TimeoutError]) from None
    except NoConnection as error:
        if isinstance(error.reason, TimeoutError):
            raise NeverSent("no connection in time") from None
        raise NeverSent(_told(error.reason)) from None
    except (httpx.TimeoutException, httpcore.TimeoutException):
        raise DeadlineOver(TOLD[TimeoutError]) from None
    except (httpx.ConnectError, httpcore.ConnectError) as error:
        raise NeverSent(_told(error)) from None
    except (httpx.TransportError, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise Unreachable(_told(error)) from None
    except (httpx.InvalidURL, httpx.DecodingError, httpx.StreamError) as error:
        raise Unreachable(str(error)) from None


def _told(error: BaseException) -> str:
    if (words := told(error)) is not None:
        return words
    if isinstance(error, httpx.ProtocolError | httpcore.ProtocolError):
        return NO_HTTP
    return getattr(error, "strerror", None) or str(error) or "the connection was lost"
