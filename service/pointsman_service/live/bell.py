"""Tells the reader of changes that something was recorded, so that whoever waits for a task learns of its end at once.

A bell and no more: without it, as while Redis is away, the reader looks by itself four times a second.
"""

import asyncio

from pointsman_contract import keys
from pointsman_service.live.changes import ChangeStream
from pointsman_service.loops import Loop
from pointsman_service.redis import RedisServer

_WAIT_SECONDS = 0.5


class Bell:
    """Listens at Redis while somebody watches a task. ``server`` is for it alone: it blocks."""

    def __init__(self, stream: ChangeStream, server: RedisServer) -> None:
        self._stream = stream
        self._server = server
        self._last = "$"
        self.loop = Loop("live bell", self.single_pass, 0.0)

    async def single_pass(self) -> bool:
        """Wait for one ring, up to half a second. Always True: it has waited itself."""
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._stream.watched.wait()
        except TimeoutError:
            return True
        words = ("XREAD", "COUNT", 1, "BLOCK", int(_WAIT_SECONDS * 1000), "STREAMS", keys.RECORDED, self._last)
        answer = await self._server.command(*words)
        if answer:
            self._last = answer[0][1][-1][0].decode()
            self._stream.ring()
        return True
