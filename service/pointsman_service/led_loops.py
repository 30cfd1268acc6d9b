"""Loops that one process of many runs: they turn while it leads, and another one stands by."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from pointsman_contract.server_words import server_words
from pointsman_service.loops import Loop
from pointsman_service.telemetry import logger

log = logger(__name__)

STAND_BY_SECONDS = 0.25
"""Pause between two looks of a process that stands by: as long as a task that is due may wait for its sweep."""


class Lead(Protocol):
    """A claim that one process has at a time (``pointsman_service.store.leadership``)."""

    @property
    def lasts(self) -> bool:
        """Whether this process has it, and it has not run out here."""
        ...

    async def leads(self) -> bool:
        """Take or renew it when it is time: whether this process has it."""
        ...

    async def give_up(self) -> None:
        """Let another process have it at once."""
        ...


class LedLoops:
    """Runs loops for as long as this process leads. ``make`` makes them anew each time: they know nothing of before.

    No pass begins under a lead that has run out: a process that was frozen past it asks first.
    """

    def __init__(
        self,
        name: str,
        lead: Lead,
        make: Callable[[], Sequence[Loop]],
        interval_seconds: float = STAND_BY_SECONDS,
    ) -> None:
        """``interval_seconds`` lies between two looks who leads; a lead must last for several."""
        self.name = name
        self._lead = lead
        self._make = make
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.turning: Sequence[Loop] = ()
        """The loops, while this process leads."""
        self.led = False
        """Whether this process led when that was last known."""
        self.stands_by = False
        """Whether another process leads. False also while nobody knows, for the database does not say."""
        self.known_since: float | None = None
        """Since when (monotonic) the database has told who leads, without a break; None: it does not now."""
        self.loop = Loop(f"{name} lead", self.single_pass, interval_seconds)

    async def run(self, stop: asyncio.Event) -> None:
        """Lead or stand by until ``stop`` is set and every pass has ended; then the lead is given up."""
        try:
            await self.loop.run(stop)
            await self._end()
            await self._give_up()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def single_pass(self) -> bool:
        """Look who leads; begin with the loops, or end them."""
        lasted, self.stands_by = self._lead.lasts, False
        if self.led and not lasted:
            # It could not be renewed in time: whoever else leads could not either.
            self.known_since = None
        self.led = await self._ask()
        self.stands_by = not self.led
        # A loop that has ended met the end of the lead, perhaps while the database took its time to renew it.
        if self._tasks and not (lasted and self.led and not any(task.done() for task in self._tasks)):
            await self._end()
        if self.led and not self._tasks:
            self._begin()
        return False

    async def _ask(self) -> bool:
        try:
            led = await self._lead.leads()
        except BaseException:
            self.known_since = None
            raise
        if self.known_since is None:
            self.known_since = time.monotonic()
        return led

    def _begin(self) -> None:
        log.info("this process leads", lead=self.name)
        self._over = asyncio.Event()
        self.turning = self._make()
        self._tasks = [
            asyncio.create_task(loop.run(self._over, lambda: self._lead.lasts), name=loop.name) for loop in self.turning
        ]

    async def _end(self) -> None:
        if not self._tasks:
            return
        self._over.set()
        await asyncio.wait(self._tasks)
        self._tasks, self.turning = [], ()
        log.info("this process leads no longer", lead=self.name)

    async def _give_up(self) -> None:
        try:
            await self._lead.give_up()
        except Exception as error:
            log.info("a lead was not given up; it runs out by itself", lead=self.name, reason=server_words(error))
