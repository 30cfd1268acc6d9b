"""Calls that block."""

import ssl
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from pointsman_client.answer import Answer
from pointsman_client.calling.call import Call
from pointsman_client.errors import ClientClosed, Refused
from pointsman_client.place import Place
from pointsman_client.wire.clock import Clock, under
from pointsman_client.wire.cutting import Cutter
from pointsman_client.wire.deadlines import Deadlines
from pointsman_client.wire.forks import anew_in_children
from pointsman_client.wire.holds import Hold, LetGo, held
from pointsman_client.wire.library import httpx
from pointsman_client.wire.message import (
    CHUNK,
    CLOSED,
    CLOSED_MEANWHILE,
    NOTHING_MORE,
    answer_of,
    bounded,
    decodable,
    given,
    headers_of,
    is_stream,
    refusal,
    trusted,
)  # fmt: skip
from pointsman_client.wire.troubles import as_ours


class Wire:
    """Connections to one place, for any number of threads, each call in its own."""

    def __init__(self, place: Place, verify: ssl.SSLContext | None = None) -> None:
        self._place = place
        self._headers = headers_of(place)
        self._verify = verify or trusted(place)
        self._is_closed = False
        self.begin_anew()
        anew_in_children(self)

    def begin_anew(self) -> None:
        """Have no connection, and close none of those that another process has, too."""
        self._under_way: set[Clock] = set()
        # Its clock is the time limit: those of httpx begin anew with each byte.
        self._transport = Deadlines(self._verify)
        self._pool = httpx.Client(
            transport=self._transport,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # each call has its clock
        )

    def close(self) -> None:
        """Close every connection, with what is under way on it: that raises ``ClientClosed``, and so does each call
        from now on.
        """
        self._is_closed = True
        for clock in list(self._under_way):
            clock.hang_up()
        self._close_unused()

    def send(self, call: Call, seconds: float, hold: "Hold | None" = None) -> Answer:
        """Make the call once. Raises ``Refused``, ``NeverSent``, ``DeadlineOver``, ``Unreachable``, ``ClientClosed``,
        and ``LetGo`` when ``hold`` was let go.
        """
        clock = Clock(seconds)
        with self.while_open(clock), held(hold, clock), under(clock), self._streamed(call) as response:
            read = _read(response)
            return answer_of(response.status_code, response.headers, read)

    def open(self, call: Call, seconds: float, hold: "Hold | None" = None) -> "Lines":
        """A stream that begins within ``seconds``, to be closed. Raises as ``send``."""
        request = self._pool.build_request(call.method, self._place.url + call.path, **given(call, self._headers))
        clock = Clock(seconds)
        with self.while_open(clock), held(hold, clock), under(clock), as_ours():
            response = self._pool.send(request, stream=True)
            if not is_stream(response):
                with closing(response):
                    raise refusal(response, _read(response))
            return Lines(self, response, clock)

    @contextmanager
    def _streamed(self, call: Call) -> Iterator[Any]:
        words = given(call, self._headers)
        with as_ours(), self._pool.stream(call.method, self._place.url + call.path, **words) as response:
            yield response

    @contextmanager
    def while_open(self, clock: Clock) -> Iterator[None]:
        """The block is a call: it raises ``ClientClosed`` when the client is closed, before it or meanwhile."""
        self._under_way.add(clock)
        try:
            if self._is_closed:
                raise ClientClosed(CLOSED)
            yield
        except (ClientClosed, LetGo, Refused):
            raise
        except Exception:
            if self._is_closed:
                raise ClientClosed(CLOSED_MEANWHILE) from None
            raise
        finally:
            self._under_way.discard(clock)
            if self._is_closed:
                self._close_unused()

    def _close_unused(self) -> None:
        # The number of a socket that another thread still waits for might be given to another one at once.
        if not self._under_way:
            self._transport.close()


class Lines:
    """The lines of a stream as they come, to one thread after the other."""

    def __init__(self, wire: Wire, response: Any, clock: Clock) -> None:
        self._wire, self._response, self._clock = wire, response, clock
        self._lines = _cut(response.iter_bytes())
        self.is_nothing = response.status_code == NOTHING_MORE
        """Whether there is nothing more of what it tells of."""

    def next(self, seconds: float, hold: Hold | None = None) -> str | None:
        """The next one; None: there are no more. Raises ``DeadlineOver``, after which nothing more can be read, when
        nothing comes within ``seconds``, ``Unreachable``, ``ClientClosed``, and ``LetGo`` when ``hold`` was let go.
        """
        self._clock.give(seconds)
        # The clock is that of its thread only while something is read: whoever listens makes other calls between.
        with self._wire.while_open(self._clock), held(hold, self._clock), under(self._clock), as_ours():
            return next(self._lines, None)

    def hang_up(self) -> None:
        """End it from another thread, while it waits for a line."""
        self._clock.hang_up()

    def close(self) -> None:
        """Leave the stream."""
        with suppress(Exception):
            self._response.close()


def _read(response: Any) -> bytes:
    decodable(response)
    read = bytearray()
    for chunk in response.iter_bytes(CHUNK):
        read += chunk
        bounded(read, response.status_code)
    return bytes(read)


def _cut(chunks: Iterable[bytes]) -> Iterator[str]:
    cutter = Cutter()
    for chunk in chunks:
        yield from cutter.take(chunk)
