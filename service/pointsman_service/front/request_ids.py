"""What a request is called: in its answer, and in the log lines written for it."""

import secrets
from collections.abc import Iterable
from itertools import count

_LONGEST = 128
_PROCESS = secrets.token_hex(6).encode()
_requests = count(0x10000000)
"""From here on, so that they are as long as one another for as long as a process lives."""


def new_request_id() -> bytes:
    """One that no other request has, of this process or another."""
    return _PROCESS + b"%x" % next(_requests)


def request_id_of(given: bytes | None) -> bytes:
    """The caller's own ``X-Request-ID`` where it is a sane one: printable ASCII, at most 128 characters. Else
    a new one.
    """
    if given and len(given) <= _LONGEST and given.isascii() and given.decode().isprintable():
        return given
    return new_request_id()


def request_id_in(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """``request_id_of`` for header fields as they came: of several ``X-Request-ID`` none is the caller's."""
    given = [value for name, value in fields if name == b"x-request-id"]
    return request_id_of(given[0] if len(given) == 1 else None)
