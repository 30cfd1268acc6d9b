"""The one way tests wait: for a condition, with a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")

DEADLINE_SECONDS = 180.0
"""Three times what the slowest of these waits takes on a busy machine of two cores: only what hangs takes longer."""
SLOWEST = 3
"""So many times as long as on an idle machine of two cores may take whatever has a bound in seconds."""
_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.3
_PAUSE_SHARE = 0.1
"""Of what was waited already: a look costs three processes their time, and many waits are for a span to pass."""
_PAUSE_AT_ONCE_SECONDS = 0.02


async def until(look: Callable[[], Awaitable[Found | None]], what: str, seconds: float = DEADLINE_SECONDS) -> Found:
    """The first true answer of ``look``. An AssertionError inside it means not yet, and is shown when time is up.

    It looks the less often the longer it waits: at least every third of a second.
    """
    began = time.monotonic()
    deadline = began + seconds
    while True:
        complaint: AssertionError | None = None
        try:
            found = await look()
            if found:
                return found
        except AssertionError as error:
            complaint = error
        now = time.monotonic()
        if now > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}") from complaint
        await asyncio.sleep(min(max(_PAUSE_SECONDS, (now - began) * _PAUSE_SHARE), _LONGEST_PAUSE_SECONDS))


def until_now(
    look: Callable[[], Found],
    what: str | Callable[[], str] = "the condition",
    seconds: float = DEADLINE_SECONDS,
    pause_seconds: float = _PAUSE_AT_ONCE_SECONDS,
) -> Found:
    """The first true answer of ``look``, where nothing else is to run meanwhile. An AssertionError when time is up."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what if isinstance(what, str) else what()}")
        time.sleep(pause_seconds)
    return found
