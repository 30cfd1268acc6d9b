"""Calls that are awaited."""

import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import anyio

from pointsman_client.answer import Answer
from pointsman_client.calling.call import Call
from pointsman_client.place import Place
from pointsman_client.wire.forks import anew_in_children
from pointsman_client.wire.holds import AsyncHold, held_async
from pointsman_client.wire.library import httpx
from pointsman_client.wire.message import (
    CHUNK,
    CONNECTIONS,
    KEPT,
    STREAMED,
    answer_of,
    bounded,
    given,
    headers_of,
    refusal,
    trusted,
)  # fmt: skip
from pointsman_client.wire.troubles import as_ours


class AsyncWire:
    """Connections to one place, for one event loop."""

    def __init__(self, place: Place, verify: ssl.SSLContext | None = None) -> None:
        self._place = place
        self._headers = headers_of(place)
        self._verify = verify or trusted(place)
        self.begin_anew()
        anew_in_children(self)

    def begin_anew(self) -> None:
        """Have no connection, and close none of those that another process has, too."""
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=KEPT)
        transport = httpx.AsyncHTTPTransport(verify=self._verify, trust_env=False, limits=limits)
        self._pool = httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # each call has its clock
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def send(self, call: Call, seconds: float, hold: "AsyncHold | None" = None) -> Answer:
        """Make the call once. Raises ``Refused``, ``NeverSent``, ``DeadlineOver``, ``Unreachable``, and ``LetGo`` when
        ``hold`` was let go.
        """
        with as_ours():
            with anyio.fail_after(seconds), held_async(hold):
                async with self._streamed(call) as response:
                    read = bytearray()
                    async for chunk in response.aiter_bytes(CHUNK):
                        read += chunk
                        bounded(read, response.status_code)
                    answer = response.status_code, response.headers, bytes(read)
            return answer_of(*answer)

    async def open(self, call: Call, seconds: float) -> "AsyncLines":
        """A stream that begins within ``seconds``, to be closed. Raises as ``send``."""
        request = self._pool.build_request(call.method, self._place.url + call.path, **given(call, self._headers))
        with as_ours(), anyio.fail_after(seconds):
            response = await self._pool.send(request, stream=True)
            if response.status_code not in STREAMED:
                async with aclosing(response):
                    raise refusal(response, await response.aread())
        return AsyncLines(response)

    @asynccontextmanager
    async def _streamed(self, call: Call) -> AsyncIterator[Any]:
        words = given(call, self._headers)
        async with self._pool.stream(call.method, self._place.url + call.path, **words) as response:
            yield response


class AsyncLines:
    """The lines of a stream as they come, to one task after the other."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._lines = response.aiter_lines()

    async def next(self, seconds: float) -> str | None:
        """The next one; None: there are no more. Raises ``DeadlineOver``, after which nothing more can be read, when
        nothing comes within ``seconds``, and ``Unreachable``.
        """
        with as_ours(), anyio.fail_after(seconds):
            found: str | None = await anext(self._lines, None)
            return found

    async def aclose(self) -> None:
        """Leave the stream."""
        with anyio.CancelScope(shield=True), suppress(Exception):
            await self._response.aclose()
