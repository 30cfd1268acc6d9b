"""How every background loop runs: one bounded pass at a time, backing off with jitter when a pass fails."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from pointsman_contract.backoff import backoff_seconds
from pointsman_service.errors import ExpectedFault, Unavailable
from pointsman_service.telemetry import logger

log = logger(__name__)

_FIRST_BACKOFF_SECONDS = 0.4
_LONGEST_BACKOFF_SECONDS = 10.0
_LONGEST_BACKOFF_FROM_A_FAULT_SECONDS = 2.0
"""A dependency that comes back must not wait long for us; a fault of ours must not fill the log."""


class Loop:
    """Runs ``single_pass`` until told to stop.

    A pass answers True when more work is likely waiting; then the next follows at once, else after
    ``interval_seconds``. A pass that raises is repeated after a pause that doubles up to ten seconds (two while
    a dependency is away), drawn at random from its upper half; the first, second, fourth, eighth … failure is logged.
    """

    def __init__(self, name: str, single_pass: Callable[[], Awaitable[bool]], interval_seconds: float) -> None:
        self.name = name
        self._single_pass = single_pass
        self._interval_seconds = interval_seconds
        self._failures = 0
        self._pass_began: float | None = None

    def pass_seconds(self) -> float:
        """How long the pass under way has lasted; 0 while the loop rests."""
        return 0.0 if self._pass_began is None else time.monotonic() - self._pass_began

    async def run(self, stop: asyncio.Event, may_begin: Callable[[], bool] = lambda: True) -> None:
        """Return once ``stop`` is set and the pass under way has ended, or when ``may_begin`` denies the next one."""
        while not stop.is_set() and may_begin():
            pause = await self._one_pass()
            if pause > 0:
                try:
                    async with asyncio.timeout(pause):
                        await stop.wait()
                except TimeoutError:
                    continue
            else:
                await asyncio.sleep(0)

    async def _one_pass(self) -> float:
        self._pass_began = time.monotonic()
        try:
            more = await self._single_pass()
        except Exception as error:
            self._failures += 1
            expected = isinstance(error, ExpectedFault | Unavailable)
            cap = _LONGEST_BACKOFF_FROM_A_FAULT_SECONDS if expected else _LONGEST_BACKOFF_SECONDS
            pause = backoff_seconds(self._failures, base=_FIRST_BACKOFF_SECONDS, cap=cap, jitter=0.5)
            if self._failures.bit_count() == 1:
                log.warning(
                    "a pass could not be finished, trying again",
                    loop=self.name,
                    error=f"{type(error).__name__}: {error}"[:500],
                    failures=self._failures,
                    pause_seconds=round(pause, 2),
                    exc_info=not expected,
                )
            return pause
        finally:
            self._pass_began = None
        if self._failures:
            log.info("passes work again", loop=self.name, after_failures=self._failures)
            self._failures = 0
        return 0.0 if more else self._interval_seconds
