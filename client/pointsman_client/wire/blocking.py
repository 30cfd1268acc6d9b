"""Calls that block."""

import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from pointsman_client.answer import Answer
from pointsman_client.calling.call import Call
from pointsman_client.place import Place
from pointsman_client.wire.clock import Clock, under
from pointsman_client.wire.deadlines import Deadlines
from pointsman_client.wire.forks import anew_in_children
from pointsman_client.wire.holds import Hold, held
from pointsman_client.wire.library import httpx
from pointsman_client.wire.message import CHUNK, STREAMED, answer_of, bounded, given, headers_of, refusal, trusted
from pointsman_client.wire.troubles import as_ours


class Wire:
    """Connections to one place, for any number of threads, each call in its own."""

    def __init__(self, place: Place, verify: ssl.SSLContext | None = None) -> None:
        self._place = place
        self._headers = headers_of(place)
        self._verify = verify or trusted(place)
        self.begin_anew()
        anew_in_children(self)

    def begin_anew(self) -> None:
        """Have no connection, and close none of those that another process has, too."""
        # Its clock is the time limit: those of httpx begin anew with each byte.
        transport = Deadlines(self._verify)
        self._pool = httpx.Client(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # each call has its clock
        )

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def send(self, call: Call, seconds: float, hold: "Hold | None" = None) -> Answer:
        """Make the call once. Raises ``Refused``, ``NeverSent``, ``DeadlineOver``, ``Unreachable``, and ``LetGo`` when
        ``hold`` was let go.
        """
        clock = Clock(seconds)
        with held(hold, clock), under(clock), self._streamed(call) as response:
            read = bytearray()
            for chunk in response.iter_bytes(CHUNK):
                read += chunk
                bounded(read, response.status_code)
            return answer_of(response.status_code, response.headers, bytes(read))

    def open(self, call: Call, seconds: float) -> "Lines":
        """A stream that begins within ``seconds``, to be closed. Raises as ``send``."""
        request = self._pool.build_request(call.method, self._place.url + call.path, **given(call, self._headers))
        clock = Clock(seconds)
        with under(clock), as_ours():
            response = self._pool.send(request, stream=True)
            if response.status_code not in STREAMED:
                with closing(response):
                    raise refusal(response, response.read())
        return Lines(response, clock)

    @contextmanager
    def _streamed(self, call: Call) -> Iterator[Any]:
        words = given(call, self._headers)
        with as_ours(), self._pool.stream(call.method, self._place.url + call.path, **words) as response:
            yield response


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
        with under(self._clock), as_ours():
            found: str | None = next(self._lines, None)
            return found

    def hang_up(self) -> None:
        """End it from another thread, while it waits for a line."""
        self._clock.hang_up()

    def close(self) -> None:
        """Leave the stream."""
        with suppress(Exception):
            self._response.close()
