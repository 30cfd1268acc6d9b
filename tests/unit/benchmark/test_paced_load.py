import asyncio

from tests.benchmark.load import Paced, paced

BODY = b'{"a": 1}'
ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
STALL_SECONDS = 0.7


class Stalling:
    """An HTTP server that answers nobody for a while, from its first request on."""

    def __init__(self) -> None:
        self._awake = asyncio.Event()
        self._asked = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(BODY):
                if not self._asked:
                    self._asked = True
                    asyncio.get_running_loop().call_later(STALL_SECONDS, self._awake.set)
                await self._awake.wait()
                writer.write(ANSWER)
        except asyncio.IncompleteReadError:
            writer.close()


async def test_a_server_that_stalls_is_seen_by_every_request_that_was_due_meanwhile() -> None:
    """A generator that waits for answers would see one slow request for each of its connections."""
    async with await asyncio.start_server(Stalling().serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

        def load() -> list[Paced]:
            return list(paced(url, BODY, rate=200, seconds=1.0))

        (*_, whole) = await asyncio.to_thread(load)
    assert whole.answered == 200
    assert whole.max_ms > 1000 * STALL_SECONDS * 0.9
    assert whole.p50_ms > 100, "most were due while it stalled"
