"""A figure that some process counts: read now and then, and waited for where nobody has read it lately."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from pointsman_service.errors import DatabaseAway, ExpectedFault
from pointsman_service.telemetry import start_for_all

STALE_SECONDS: Final = 5.0
"""A reading older than this is not gone by: better one task too many than one refused for what was."""


class OneReading:
    """A reading that everybody who needs it waits for together."""

    def __init__(self, read: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._read = read
        self._under_way: asyncio.Future[object] | None = None

    async def wait(self) -> None:
        """Wait for the one that is under way; else for one that begins now. One that fails says nothing."""
        if self._under_way is None:
            # Who asks in this turn of the event loop comes along.
            self._under_way = start_for_all(self._read())
            self._under_way.add_done_callback(self._has_read)
        # A database that does not answer refuses the submission itself.
        with suppress(DatabaseAway, ExpectedFault):
            await asyncio.shield(self._under_way)

    def _has_read(self, reading: asyncio.Future[object]) -> None:
        self._under_way = None
        if not reading.cancelled():
            # Also where nobody waits for it any more.
            reading.exception()
