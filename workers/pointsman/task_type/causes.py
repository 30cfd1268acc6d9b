"""What made an attempt fail: the errors that an error came from, and their classes as policies name them."""

from collections.abc import Iterator

from celery.exceptions import Retry

from pointsman.errors import BreakerOpen, reported_module

_OF_FILES = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
_TRANSPORT = frozenset(
    {
        "OSError",
        "TimeoutError",
        "aiohttp.client_exceptions.ClientConnectionError",
        "botocore.exceptions.HTTPClientError",
        "grpc.RpcError",
        "httpx.TransportError",
        "pymongo.errors.ConnectionFailure",
        "redis.exceptions.ConnectionError",
        "redis.exceptions.TimeoutError",
        "sqlalchemy.exc.InterfaceError",
        "sqlalchemy.exc.OperationalError",
        "urllib3.exceptions.HTTPError",
    }
)
"""By name, so that nothing is loaded for it."""


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and everything it came from, each once."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or any(one is known for known in seen):
            continue
        seen.append(one)
        yield one
        waiting += [one.__context__, one.__cause__]
        if isinstance(one, Retry) and isinstance(one.exc, BaseException):
            waiting.append(one.exc)


def cause_of(error: BaseException) -> BaseException:
    """Why the attempt failed: what was given to ``self.retry()``, or handled when it was called."""
    if not isinstance(error, Retry):
        return error
    return (
        (error.exc if isinstance(error.exc, BaseException) else None) or error.__cause__ or error.__context__ or error
    )


def call_not_made(error: BaseException) -> BreakerOpen | None:
    """What says that a breaker was open, when a failure came from that; None for any other failure."""
    return next((one for one in chain(error) if isinstance(one, BreakerOpen)), None)


def is_transport(error: BaseException) -> bool:
    """Whether a failure looks like the other side's: refused, cut off, no answer in time."""
    return not isinstance(error, _OF_FILES) and not _TRANSPORT.isdisjoint(class_names(error))


def class_names(error: BaseException) -> list[str]:
    """The names of an exception's class and of those it derives from, as a breaker's policy names them.

    The exceptions of this package have two each: a policy that is stored may know them from before it was renamed.
    """
    return [name for kind in type(error).__mro__[:-1] for name in _names(kind)]


def _names(kind: type) -> Iterator[str]:
    home, name = reported_module(kind), kind.__qualname__
    yield name if home == "builtins" else f"{home}.{name}"
    if home == "pointsman" or home.startswith("pointsman."):
        yield f"workers{home.removeprefix('pointsman')}.{name}"
