"""Calls that are awaited."""

import ssl
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio

from pointsman_client.answer import Answer
from pointsman_client.calling.call import Call
from pointsman_client.errors import ClientClosed, Refused
from pointsman_client.place import Place
from pointsman_client.wire.cutting import Cutter
from pointsman_client.wire.forks import anew_in_children
from pointsman_client.wire.holds import AsyncHold, LetGo, held_async
from pointsman_client.wire.library import httpx
from pointsman_client.wire.loops import AsyncLoop
from pointsman_client.wire.message import (
    CHUNK,
    CLOSED,
    CLOSED_MEANWHILE,
    CONNECTIONS,
    KEPT,
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


class AsyncWire:
    """Connections to one place, for one event loop at a time: in another, when the first is over, it has new ones."""

    def __init__(self, place: Place, verify: ssl.SSLContext | None = None) -> None:
        self._place = place
        self._headers = headers_of(place)
        self._verify = verify or trusted(place)
        self._loop = AsyncLoop()
        self._is_closed = False
        self.begin_anew()
        anew_in_children(self)

    def begin_anew(self) -> None:
        """Have no connection, and close none of those that another process or loop has."""
        self._under_way: set[anyio.CancelScope] = set()
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=KEPT)
        self._transport = httpx.AsyncHTTPTransport(verify=self._verify, trust_env=False, limits=limits)
        self._pool = httpx.AsyncClient(
            transport=self._transport,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # each call has its clock
        )

    async def aclose(self) -> None:
        """Close every connection, with what is under way on it: that raises ``ClientClosed``, and so does each call
        from now on.
        """
        if self._loop.is_new():
            # What the other one had cannot be closed any more.
            self.begin_anew()
        self._is_closed = True
        for scope in list(self._under_way):
            scope.cancel()
        await self._transport.aclose()

    async def send(self, call: Call, seconds: float, hold: "AsyncHold | None" = None) -> Answer:
        """Make the call once. Raises ``Refused``, ``NeverSent``, ``DeadlineOver``, ``Unreachable``, ``ClientClosed``,
        ``OtherLoop``, and ``LetGo`` when ``hold`` was let go.
        """
        async with self.while_open():
            with as_ours():
                with anyio.fail_after(seconds), held_async(hold):
                    async with self._streamed(call) as response:
                        answer = response.status_code, response.headers, await _read(response)
                return answer_of(*answer)

    async def open(self, call: Call, seconds: float, hold: "AsyncHold | None" = None) -> "AsyncLines":
        """A stream that begins within ``seconds``, to be closed. Raises as ``send``."""
        async with self.while_open():
            request = self._pool.build_request(call.method, self._place.url + call.path, **given(call, self._headers))
            lines: AsyncLines | None = None
            try:
                with as_ours(), anyio.fail_after(seconds), held_async(hold):
                    response = await self._pool.send(request, stream=True)
                    lines = AsyncLines(self, response)
                    if not is_stream(response):
                        raise refusal(response, await _read(response))
            except BaseException:
                if lines is not None:
                    await lines.aclose()
                raise
        return lines

    @asynccontextmanager
    async def _streamed(self, call: Call) -> AsyncIterator[Any]:
        words = given(call, self._headers)
        async with self._pool.stream(call.method, self._place.url + call.path, **words) as response:
            yield response

    @asynccontextmanager
    async def while_open(self) -> AsyncIterator[None]:
        """The block is a call: it raises ``ClientClosed`` when the client is closed, before it or meanwhile, and
        ``OtherLoop``.
        """
        if self._is_closed:
            raise ClientClosed(CLOSED)
        if self._loop.is_new():
            self.begin_anew()
        scope = anyio.CancelScope()
        self._under_way.add(scope)
        try:
            with scope:
                yield
        except (LetGo, Refused):
            raise
        except Exception:
            if self._is_closed:
                raise ClientClosed(CLOSED_MEANWHILE) from None
            raise
        finally:
            self._under_way.discard(scope)
        if scope.cancelled_caught:
            raise ClientClosed(CLOSED_MEANWHILE)


class AsyncLines:
    """The lines of a stream as they come, to one task after the other."""

    def __init__(self, wire: AsyncWire, response: Any) -> None:
        self._wire, self._response = wire, response
        self._lines = _cut(response.aiter_bytes())
        self.is_nothing = response.status_code == NOTHING_MORE
        """Whether there is nothing more of what it tells of."""

    async def next(self, seconds: float, hold: AsyncHold | None = None) -> str | None:
        """The next one; None: there are no more. Raises ``DeadlineOver``, after which nothing more can be read, when
        nothing comes within ``seconds``, ``Unreachable``, ``ClientClosed``, and ``LetGo`` when ``hold`` was let go.
        """
        async with self._wire.while_open():
            with as_ours(), anyio.fail_after(seconds), held_async(hold):
                return await anext(self._lines, None)

    async def aclose(self) -> None:
        """Leave the stream."""
        with anyio.CancelScope(shield=True), suppress(Exception):
            await self._response.aclose()


async def _read(response: Any) -> bytes:
    decodable(response)
    read = bytearray()
    async for chunk in response.aiter_bytes(CHUNK):
        read += chunk
        bounded(read, response.status_code)
    return bytes(read)


async def _cut(chunks: AsyncIterable[bytes]) -> AsyncIterator[str]:
    cutter = Cutter()
    async for chunk in chunks:
        for line in cutter.take(chunk):
            yield line
